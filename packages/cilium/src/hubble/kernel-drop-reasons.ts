import { isPolicyOrigin } from "@cnilab/core";
import type { DropReason, FilterRule } from "@cnilab/linux";

/** 0 is no drop's number: flows of such drops have the kernel's own reason. */
const NO_NUMBER = 0;
const POLICY_DENIED = 133;

/** What Cilium's programs would call what the kernel dropped a packet for. */
const NUMBERS: Readonly<Partial<Record<DropReason, number>>> = {
  IP_RPFILTER: 132,
  IP_LOCAL_SOURCE: 132,
  IP_INVALID_SOURCE: 132,
  IP_INHDR: 134,
  PKT_TOO_BIG: 136,
  CONNTRACK_INVALID: 163,
  CONNTRACK_CLASH: 155,
  CONNTRACK_FULL: 155,
  NAT_NO_TUPLE: 167,
  NEIGH_FAILED: 164,
  IP_OUTNOROUTES: 169,
  IP_INNOROUTES: 169,
  UNREACHABLE_ROUTE: 169,
  BLACKHOLE_ROUTE: 169,
  PROHIBIT_ROUTE: 169,
  TTL_EXCEEDED: 196,
  VXLAN_NO_REMOTE: 160,
  WIREGUARD_NO_PEER: 160,
  UNHANDLED_PROTO: 139,
};

/** What tells nobody of a loss: somebody else's frame on a wire, a port that nobody serves, which is answered. */
const NO_LOSS: ReadonlySet<DropReason> = new Set([
  "OTHERHOST",
  "NO_SOCKET",
  "TCP_RESET",
  "TCP_OLD_DATA",
  "BRIDGE_SAME_PORT",
  // Programs of eBPF tell of their own.
  "TC_INGRESS",
  "TC_EGRESS",
  "XDP",
]);

/** Cilium's number for a drop, 0 where it has none; `undefined` where the drop is nothing to tell of. */
export function dropNumber(reason: DropReason, rule: FilterRule | undefined): number | undefined {
  if (NO_LOSS.has(reason)) return undefined;
  if (reason === "NETFILTER_DROP" && isPolicyOrigin(rule?.origin)) return POLICY_DENIED;
  return NUMBERS[reason] ?? NO_NUMBER;
}
