import {
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpPacket,
  type UdpDatagram,
} from "@cnilab/net";
import type { Tuple } from "../conntrack-entry.ts";
import { icmpTypeAndCode, transportHeader } from "../transport-header.ts";

/** Pairs of ICMP queries and answers (net/netfilter/nf_conntrack_proto_icmp.c invmap). */
const ICMP_ANSWERS: ReadonlyMap<number, number> = new Map([
  [ICMP_ECHO, ICMP_ECHOREPLY],
  [ICMP_ECHOREPLY, ICMP_ECHO],
  [13, 14], // timestamp
  [14, 13],
  [15, 16], // information
  [16, 15],
  [17, 18], // address mask
  [18, 17],
]);
const ICMPV6_ANSWERS: ReadonlyMap<number, number> = new Map([
  [ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY],
  [ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST],
  [139, 140], // node information
  [140, 139],
]);

/** Whether the tuples of a protocol have ports of their own on both sides. */
export function tupleHasPorts(protocol: number): boolean {
  return protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP;
}

export function isIcmp(protocol: number): boolean {
  return protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
}

/**
 * Both ports of a packet's tuple in one word, the source's in the high half (`nf_ct_get_tuple`): the
 * ports themselves; the identifier, type and code of an ICMP message; 0 for other protocols. NaN for a
 * fragment without its header.
 */
export function tuplePorts(packet: IpPacket): number {
  const header = transportHeader(packet);
  if (header === undefined) return Number.NaN;
  const { protocol } = packet;
  if (tupleHasPorts(protocol)) {
    const { srcPort, dstPort } = header as UdpDatagram;
    return srcPort === undefined ? Number.NaN : (srcPort << 16) | dstPort;
  }
  if (!isIcmp(protocol)) return 0;
  const typeAndCode = icmpTypeAndCode(header);
  if (typeAndCode < 0) return Number.NaN;
  return ((header instanceof IcmpMessage ? header.echoId : 0) << 16) | typeAndCode;
}

/** The ports of the tuple in the other direction (`nf_ct_invert_tuple`); NaN where there is none. */
export function invertPorts(protocol: number, ports: number): number {
  if (!isIcmp(protocol)) return (ports << 16) | (ports >>> 16);
  const answers = protocol === IPPROTO_ICMP ? ICMP_ANSWERS : ICMPV6_ANSWERS;
  const answer = answers.get((ports >>> 8) & 0xff);
  return answer === undefined ? Number.NaN : (ports & 0xffff00ff) | (answer << 8);
}

/** The tuple in the other direction; `undefined` where no answer is defined. */
export function invertTuple(tuple: Tuple): Tuple | undefined {
  const { protocol } = tuple;
  const ports = invertPorts(protocol, (tuple.srcPort << 16) | tuple.dstPort);
  return Number.isNaN(ports) ? undefined : makeTuple(protocol, tuple.dst, tuple.src, ports);
}

/** @param ports as {@link tuplePorts} has them */
export function makeTuple(protocol: number, src: IpAddress, dst: IpAddress, ports: number): Tuple {
  return { protocol, src, dst, srcPort: ports >>> 16, dstPort: ports & 0xffff };
}

export function sameTuple(x: Tuple, y: Tuple): boolean {
  return (
    x.src === y.src &&
    x.dst === y.dst &&
    x.srcPort === y.srcPort &&
    x.dstPort === y.dstPort &&
    x.protocol === y.protocol
  );
}
