import type { IpFamily } from "@cnilab/net";
import { toProxyMark } from "../datapath/lib/mark.ts";
import type { ListenerName } from "./proxy-ports.ts";

export const PROXY_CHAIN = "CILIUM_PRE_mangle";

/**
 * Rules of one proxy: packets that a program has marked with its port are its own (pkg/datapath/iptables/iptables.go iptProxyRule). As
 * `iptables -t mangle -A CILIUM_PRE_mangle` takes them.
 */
export function tproxyRules(family: IpFamily, name: ListenerName, port: number): readonly string[] {
  const mark = `0x${toProxyMark(port).toString(16)}`;
  const address = family === 4 ? "127.0.0.1" : "::1";
  return ["tcp", "udp"].map(
    (protocol) =>
      `-p ${protocol} -m mark --mark ${mark} -m comment --comment "cilium: TPROXY to host ${name} proxy" ` +
      `-j TPROXY --tproxy-mark 0x200 --on-ip ${address} --on-port ${port}`,
  );
}
