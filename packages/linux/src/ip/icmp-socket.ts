import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { setLabelHash } from "./flow-hash.ts";

/** Which of a machine's own ICMP and ICMPv6 sockets are sending right now. */
export type IcmpSockets = Record<4 | 6, boolean>;

/**
 * Sends a packet by the socket of the kernel that all echo replies and errors leave by. What goes wrong on the packet's
 * way out of the machine finds that socket in use, and nobody is told (`icmp_xmit_lock`, `icmpv6_xmit_lock`).
 */
export function sendFromIcmpSocket(skb: Skb, netns: NetNamespace): void {
  const { icmpSockets } = netns.kernel;
  const { version } = skb.ip;
  icmpSockets[version] = true;
  try {
    setLabelHash(skb);
    netns.ipLocalOut(skb);
  } finally {
    icmpSockets[version] = false;
  }
}
