import { exchange, type NetNamespace } from "@cnilab/linux";
import { IPPROTO_TCP, parseIp, parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { twoNodes } from "../../test/two-nodes.ts";
import { show } from "../show.ts";
import { kernelState } from "./kernel-state.ts";

const lines = (text: string) => text.split("\n").filter((line) => line !== "").length;

test("counts are lines of what the real tools list", () => {
  const { kernels, pods } = twoNodes();
  const { initNs } = kernels[0];
  initNs.ipsets.restore("create peers hash:ip\nadd peers 10.0.0.1\nadd peers 10.0.0.2");
  initNs.addRoute({ dst: parsePrefix("10.9.9.9/32"), dev: initNs.device("eth0") });
  initNs.iptables(4).newChain("nat", "KUBE-SERVICES");
  initNs.iptables(4).append("nat", "PREROUTING", "-j KUBE-SERVICES");
  initNs.iptables(4).append("filter", "FORWARD", "-m conntrack --ctstate NEW -j ACCEPT");
  initNs.iptables(4).append("nat", "KUBE-SERVICES", "-d 10.96.0.1/32 -j ACCEPT");
  initNs.nftables.apply(
    "table ip t { set s { type ipv4_addr; elements = { 10.0.0.1 } }\nchain c { counter } }",
  );
  initNs.ipvs.restore("-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 192.168.0.2:6443 -m");
  exchange(pods[0] as NetNamespace, {
    protocol: IPPROTO_TCP,
    dst: parseIp("10.244.2.2"),
    port: 80,
  });
  const state = kernelState(kernels[0]);
  expect(state).toMatchObject({
    devices: 6,
    routes: lines(show("routes", initNs)),
    hostRoutes: 1,
    routingRules: lines(show("rules", initNs)),
    neighbours: lines(show("neigh", initNs)),
    fdb: show("fdb", initNs)
      .split("\n")
      .filter((line) => line !== "" && !/^(33:33|01:00)/.test(line)).length,
    iptablesRules: 3,
    iptablesOwners: { KUBE: 1 },
    nftRules: 1,
    nftElements: 1,
    ipsetMembers: 2,
    ipvsServers: 2,
    bpfEntries: 0,
    ovsFlows: 0,
    tracked: lines(show("conntrack", initNs)),
  });
  expect(state.tracked).toBeGreaterThan(0);
});
