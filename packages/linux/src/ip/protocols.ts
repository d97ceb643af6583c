import {
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  ICMP_PROT_UNREACH,
  ICMPV6_DEST_UNREACH,
  ICMPV6_PARAMPROB,
  ICMPV6_PORT_UNREACH,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { tunnelReceive } from "../device/ip-tunnel.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { sctpReceive } from "../socket/sctp.ts";
import { tcpReceive } from "../socket/tcp.ts";
import { udpDeliver } from "../socket/udp.ts";
import { looksDamaged } from "./checksum-complete.ts";
import { icmpSend } from "./icmp-error.ts";
import { icmpReceive } from "./icmp-receive.ts";

/** Hands a packet for this machine to its protocol (`ip_protocol_deliver_rcu`). */
export function deliverToProtocol(skb: Skb, netns: NetNamespace): void {
  const { protocol, payload, version } = skb.ip;
  switch (protocol) {
    case IPPROTO_TCP:
      if (payload instanceof TcpSegment) {
        tcpReceive(skb, netns);
        return;
      }
      break;
    case IPPROTO_UDP:
      if (payload instanceof UdpDatagram) {
        if (looksDamaged(skb)) {
          const detail = "its IPv6 header was changed after its checksum was looked at";
          netns.network.drop(skb, netns, "UDP_CSUM", skb.dev, detail);
          return;
        }
        if (udpDeliver(skb, netns)) return;
        forgetConnection(skb);
        if (version === 4) icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH);
        else icmpSend(skb, netns, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH);
        netns.network.drop(
          skb,
          netns,
          "NO_SOCKET",
          skb.dev,
          `nobody listens on UDP port ${payload.dstPort}`,
        );
        return;
      }
      break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      icmpReceive(skb, netns);
      return;
    case IPPROTO_SCTP:
      if (payload instanceof SctpPacket) {
        sctpReceive(skb, netns);
        return;
      }
      break;
    case IPPROTO_IPIP:
    case IPPROTO_IPV6:
      if (tunnelReceive(skb, netns)) return;
      break;
  }
  if (version === 4) icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH);
  else icmpSend(skb, netns, ICMPV6_PARAMPROB, 1, 40);
  netns.network.drop(skb, netns, "IP_NOPROTO", skb.dev, `IP protocol ${protocol}`);
}

/** UDP has done with it before it says that nobody listens (`nf_reset_ct` in `__udp4_lib_rcv`, `__udp6_lib_rcv`). */
function forgetConnection(skb: Skb): void {
  skb.ct = undefined;
  skb.ctInfo = 0;
}
