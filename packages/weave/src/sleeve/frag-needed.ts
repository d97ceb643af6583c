import { Skb } from "@cnilab/linux";
import {
  ETH_P_IP,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  IcmpMessage,
  IPPROTO_ICMP,
  IpPacket,
  QuotedPacket,
} from "@cnilab/net";

/** Of the packet that an error is about: its header and so much more. */
const QUOTED_PAYLOAD = 8;
const TTL = 64;

/**
 * What tells a container that its packet is too long: as if the one had said it that the packet was for
 * (router/ethernet_decoder.go makeICMPFragNeeded).
 */
export function fragNeeded(frame: Skb, mtu: number): Skb {
  const about = frame.ip;
  const message = new IcmpMessage(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
  message.payload = new QuotedPacket(about.clone(), about.headerLength + QUOTED_PAYLOAD);
  const packet = new IpPacket(about.dst, about.src, IPPROTO_ICMP, message, TTL);
  packet.tos = about.tos;
  const error = new Skb(ETH_P_IP, packet, frame.trace);
  error.srcMac = frame.dstMac;
  error.dstMac = frame.srcMac;
  return error;
}
