import {
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_HOST_UNREACH,
  ICMPV6_ADDR_UNREACH,
  ICMPV6_DEST_UNREACH,
  type IpAddress,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { icmpSend } from "./icmp-error.ts";

/** Nobody on the link has the address: senders are told (`ipv4_link_failure`, `ndisc_error_report`). */
export function unreachableNeighbour(dev: NetDevice, ip: IpAddress, waiting: readonly Skb[]): void {
  for (const skb of waiting) {
    if (skb.ip.version === 4) icmpSend(skb, dev.netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
    else icmpSend(skb, dev.netns, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH);
    dev.drop(skb, "NEIGH_FAILED", `nobody on ${dev.name} answers for ${formatIp(ip)}`);
  }
}

/** There is no route to the real server of a virtual service: clients are told (`dst_link_failure`). */
export function unreachableRealServer(skb: Skb, netns: NetNamespace): void {
  if (skb.ip.version === 4) icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
  else icmpSend(skb, netns, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH);
}
