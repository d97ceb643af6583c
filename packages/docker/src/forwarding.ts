import type { NetNamespace } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { DockerError } from "./docker-error.ts";

const SYSCTLS = {
  4: { name: "IPv4 forwarding", keys: ["net/ipv4/ip_forward"] },
  6: {
    name: "IPv6 global forwarding",
    keys: ["net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding"],
  },
} as const;

/**
 * Whoever turns forwarding on closes it for what is not Docker's (drivers/bridge/setup_ip_forwarding.go).
 * @throws DockerError where it is off and an administrator has to turn it on
 */
export function enableForwarding(
  netns: NetNamespace,
  family: IpFamily,
  given: {
    readonly backend: "iptables" | "nftables";
    /** Forwarding of what is not Docker's stays as it is. */
    readonly keepsPolicy: boolean;
  },
): void {
  const { name, keys } = SYSCTLS[family];
  const closed = keys.filter((key) => netns.sysctl.get(key) !== 1);
  if (closed.length === 0) return;
  if (given.backend === "nftables") {
    const settings = keys.map((key) => `${key.replaceAll("/", ".")}=1`).join(" and ");
    throw new DockerError(
      `${name} is disabled: with nftables dockerd does not turn it on; set the ${keys.length > 1 ? "sysctls" : "sysctl"} ${settings}`,
    );
  }
  for (const key of closed) netns.sysctl.set(key, 1);
  if (!given.keepsPolicy) netns.iptables(family).setPolicy("filter", "FORWARD", "DROP");
}
