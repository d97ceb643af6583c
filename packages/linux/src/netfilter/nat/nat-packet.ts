import {
  formatEndpoint,
  formatIp,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_REDIRECT,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  type IpAddress,
  type IpPacket,
  QuotedPacket,
  type UdpDatagram,
} from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import { isIcmp, tupleHasPorts } from "../conntrack/conntrack-tuple.ts";
import {
  type ConntrackEntry,
  type ConntrackInfo,
  type Direction,
  directionOf,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_DST_NAT,
  IPS_NAT_DONE_MASK,
  IPS_NAT_MASK,
  IPS_SRC_NAT,
} from "../conntrack-entry.ts";
import { transportHeader } from "../transport-header.ts";
import { type NatManip, NF_NAT_MANIP_DST, NF_NAT_MANIP_SRC } from "./nat-range.ts";

/** Whether packets of a direction are changed in this way: answers in the opposite one. */
function isTranslated(entry: ConntrackEntry, direction: Direction, manip: NatManip): boolean {
  const source = (manip === NF_NAT_MANIP_SRC) === (direction === IP_CT_DIR_ORIGINAL);
  return (entry.status & (source ? IPS_SRC_NAT : IPS_DST_NAT)) !== 0;
}

function opposite(direction: Direction): Direction {
  return direction === IP_CT_DIR_ORIGINAL ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL;
}

/** Translates a packet as its connection says (`nf_nat_packet`). */
export function translate(
  skb: Skb,
  netns: NetNamespace,
  entry: ConntrackEntry,
  info: ConntrackInfo,
  manip: NatManip,
): void {
  const direction = directionOf(info);
  if (!isTranslated(entry, direction, manip)) return;
  // It shall look like the inverse of the other direction.
  const { src, dst, srcPort, dstPort } = entry.tuple(opposite(direction));
  const packet = skb.ip;
  const before = skb.trace && describeEnd(packet, manip);
  const icmp = isIcmp(packet.protocol);
  if (manip === NF_NAT_MANIP_SRC) setSource(packet, dst, icmp ? srcPort : dstPort);
  else setDestination(packet, src, srcPort);
  if (before !== undefined) traceNat(skb, netns, manip, before, direction);
}

/**
 * Translates an ICMP error of a connection: the packet that it quotes back to how its sender sent it,
 * and the address that the error goes to or comes from (`nf_nat_icmp_reply_translation`).
 * @returns false where it must not pass
 */
export function translateIcmpError(
  skb: Skb,
  netns: NetNamespace,
  entry: ConntrackEntry,
  info: ConntrackInfo,
  manip: NatManip,
): boolean {
  const packet = skb.ip;
  const message = packet.payload;
  if (!(message instanceof IcmpMessage)) return true;
  if (packet.version === 4 && message.type === ICMP_REDIRECT) {
    // A redirect names addresses that the other side may not know.
    const { status } = entry;
    if ((status & IPS_NAT_DONE_MASK) !== IPS_NAT_DONE_MASK) return false;
    if ((status & IPS_NAT_MASK) !== 0) return false;
  }
  const direction = directionOf(info);
  if (!isTranslated(entry, direction, manip)) return true;
  const other = entry.tuple(opposite(direction));
  const quoted = message.payload;
  if (quoted instanceof QuotedPacket) {
    // The quoted packet went the other way: its destination is what this one's source is.
    const port = isIcmp(other.protocol) ? other.srcPort : other.dstPort;
    if (manip === NF_NAT_MANIP_SRC) setDestination(quoted.packet, other.dst, port);
    else setSource(quoted.packet, other.src, other.srcPort);
  }
  const before = skb.trace && describeEnd(packet, manip);
  if (manip === NF_NAT_MANIP_SRC) packet.src = other.dst;
  else packet.dst = other.src;
  if (before !== undefined) traceNat(skb, netns, manip, before, direction);
  return true;
}

/** @param port a port, or the identifier of an ICMP query */
export function setSource(packet: IpPacket, src: IpAddress, port: number): void {
  const header = transportHeader(packet);
  if (header instanceof IcmpMessage) setIdentifier(header, port);
  else if (header !== undefined && tupleHasPorts(packet.protocol)) {
    (header as UdpDatagram).srcPort = port;
  }
  packet.src = src;
}

export function setDestination(packet: IpPacket, dst: IpAddress, port: number): void {
  const header = transportHeader(packet);
  if (header instanceof IcmpMessage) setIdentifier(header, port);
  else if (header !== undefined && tupleHasPorts(packet.protocol)) {
    (header as UdpDatagram).dstPort = port;
  }
  packet.dst = dst;
}

/** Types of messages with an identifier. */
const WITH_IDENTIFIER: readonly number[] = [
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  13,
  14,
  15,
  16,
  17,
  18,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_ECHO_REPLY,
];

function setIdentifier(message: IcmpMessage, id: number): void {
  if (WITH_IDENTIFIER.includes(message.type)) message.echoId = id;
}

/** The end of a packet that is translated, for traces. */
export function describeEnd(packet: IpPacket, manip: NatManip): string {
  const address = manip === NF_NAT_MANIP_SRC ? packet.src : packet.dst;
  const header = transportHeader(packet);
  if (header !== undefined && tupleHasPorts(packet.protocol)) {
    const { srcPort, dstPort } = header as UdpDatagram;
    return formatEndpoint(address, manip === NF_NAT_MANIP_SRC ? srcPort : dstPort);
  }
  if (header instanceof IcmpMessage && WITH_IDENTIFIER.includes(header.type)) {
    return `${formatIp(address)} id ${header.echoId}`;
  }
  return formatIp(address);
}

function traceNat(
  skb: Skb,
  netns: NetNamespace,
  manip: NatManip,
  from: string,
  direction: Direction,
): void {
  skb.trace?.steps.push({
    kind: "nat",
    netns,
    packet: skb.number,
    manip: manip === NF_NAT_MANIP_DST ? "destination" : "source",
    from,
    to: describeEnd(skb.ip, manip),
    reply: direction === IP_CT_DIR_REPLY,
  });
}
