import {
  ICMP_TIME_EXCEEDED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_TIME_EXCEED,
  type IpPacket,
  isLinkLocal,
  isUnspecified,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Dst } from "../fib/dst.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { NF_INET_FORWARD, NFPROTO_IPV4, NFPROTO_IPV6, nfHook } from "../netfilter/hooks.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import { icmpPacketTooBig, icmpSend } from "./icmp-error.ts";
import { dstOutput } from "./ip-output.ts";

/** The destination is beyond the scope of the source (RFC 4443 section 3.1). */
const ICMPV6_NOT_NEIGHBOUR = 2;

/** Passes on a packet for somebody else (`ip_forward`, `ip6_forward`). Redirects are not sent. */
export function ipForward(skb: Skb, netns: NetNamespace): void {
  const dst = skb.dst as Dst;
  const dev = skb.dev as NetDevice;
  const packet = skb.ip;
  if (skb.socket !== undefined) {
    // A socket of this machine was found for it, or TPROXY gave it to one, and its route says otherwise.
    const detail = `${skb.socket.owner} has a socket for it, but its route leads on`;
    netns.network.drop(skb, netns, "NOT_SPECIFIED", dev, detail);
    return;
  }
  if (packet.version === 6 && netns.sysctl.conf6All.forwarding === 0) {
    // A device's own setting makes no router (Linux 6.17 has force_forwarding for that).
    const detail = "not for this machine, and it is no router";
    netns.network.drop(skb, netns, "FORWARDING_DISABLED", dev, detail);
    return;
  }
  if (skb.packetType !== PACKET_HOST) {
    netns.network.drop(
      skb,
      netns,
      "OTHERHOST",
      dev,
      "a broadcast or multicast frame is not forwarded",
    );
    return;
  }
  if (packet.ttl <= 1) {
    icmpSend(skb, netns, packet.version === 4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED, 0);
    netns.network.drop(skb, netns, "TTL_EXCEEDED", dev, "time to live is over");
    return;
  }
  if (packet.version === 6 && dst.dev !== dev && isUnspecified(packet.src)) {
    netns.network.drop(skb, netns, "IP_INVALID_SOURCE", dev, "from the unspecified address");
    return;
  }
  if (packet.version === 6 && dst.dev !== dev && isLinkLocal(packet.src)) {
    icmpSend(skb, netns, ICMPV6_DEST_UNREACH, ICMPV6_NOT_NEIGHBOUR);
    netns.network.drop(skb, netns, "IP_INVALID_SOURCE", dev, "from an address of another link");
    return;
  }
  const mtu = netns.forwardMtu(dst, packet.dst);
  if (exceeds(packet, mtu, skb)) {
    icmpPacketTooBig(skb, netns, mtu);
    netns.network.drop(
      skb,
      netns,
      "PKT_TOO_BIG",
      dst.dev,
      `${packet.length} bytes do not fit the MTU ${mtu} of ${dst.dev.name}`,
    );
    return;
  }
  packet.ttl--;
  skb.summedHeader = -1; // skb_forward_csum
  skb.trace?.steps.push({
    kind: "forward",
    netns,
    packet: skb.number,
    from: dev,
    to: dst.dev,
    ttl: packet.ttl,
  });
  const family = packet.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  nfHook(netns, family, NF_INET_FORWARD, skb, dev, dst.dev, dstOutput);
}

/** `ip_exceeds_mtu` and its IPv6 counterpart, where routers never cut packets. */
function exceeds(packet: IpPacket, mtu: number, { fragMaxSize, ignoreDf }: Skb): boolean {
  if (packet.version === 4) {
    if (packet.length <= mtu || !packet.dontFragment) return false;
    return fragMaxSize > mtu || !ignoreDf;
  }
  if (fragMaxSize > 0) return fragMaxSize > mtu;
  return packet.length > mtu && !ignoreDf;
}
