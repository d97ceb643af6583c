import {
  hashIp,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpPacket,
  type UdpDatagram,
} from "@cnilab/net";

/** What a flow is known by. An echo request has its identifier as source port, the reply as destination port. */
export interface FlowTuple {
  readonly protocol: number;
  readonly src: IpAddress;
  readonly srcPort: number;
  readonly dst: IpAddress;
  readonly dstPort: number;
}

/** The flow that a packet belongs to; protocols without ports, and fragments, have 0 for both. */
export function tupleOf(packet: IpPacket): FlowTuple {
  const { protocol, src, dst, payload } = packet;
  if (hasPorts(protocol) && !packet.isFragment) {
    const { srcPort, dstPort } = payload as UdpDatagram;
    return { protocol, src, srcPort, dst, dstPort };
  }
  const request = payload instanceof IcmpMessage && isEchoRequest(payload);
  const reply = payload instanceof IcmpMessage && isEchoReply(payload);
  return {
    protocol,
    src,
    srcPort: request ? payload.echoId : 0,
    dst,
    dstPort: reply ? payload.echoId : 0,
  };
}

/** Makes a packet belong to another flow. */
export function setTuple(packet: IpPacket, tuple: FlowTuple): void {
  const { payload } = packet;
  packet.src = tuple.src;
  packet.dst = tuple.dst;
  if (packet.isFragment) return;
  if (hasPorts(packet.protocol)) {
    const header = payload as UdpDatagram;
    header.srcPort = tuple.srcPort;
    header.dstPort = tuple.dstPort;
  } else if (payload instanceof IcmpMessage) {
    if (isEchoRequest(payload)) payload.echoId = tuple.srcPort;
    else if (isEchoReply(payload)) payload.echoId = tuple.dstPort;
  }
}

/** The flow of the answers. */
export function reverse({ protocol, src, srcPort, dst, dstPort }: FlowTuple): FlowTuple {
  return { protocol, src: dst, srcPort: dstPort, dst: src, dstPort: srcPort };
}

export function sameTuple(x: FlowTuple, y: FlowTuple): boolean {
  return (
    x.src === y.src &&
    x.dst === y.dst &&
    x.srcPort === y.srcPort &&
    x.dstPort === y.dstPort &&
    x.protocol === y.protocol
  );
}

/** 32 bits out of the whole tuple. */
export function hashTuple({ protocol, src, srcPort, dst, dstPort }: FlowTuple): number {
  let h = mix(protocol, hashIp(src));
  h = mix(h, hashIp(dst));
  return mix(h, (srcPort << 16) | dstPort);
}

/** 32 bits out of the source address alone. */
export function hashSource({ src }: FlowTuple): number {
  return mix(0, hashIp(src));
}

export function hasPorts(protocol: number): boolean {
  return protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP;
}

function isEchoRequest({ type }: IcmpMessage): boolean {
  return type === ICMP_ECHO || type === ICMPV6_ECHO_REQUEST;
}

function isEchoReply({ type }: IcmpMessage): boolean {
  return type === ICMP_ECHOREPLY || type === ICMPV6_ECHO_REPLY;
}

/** A round and the last step of MurmurHash3. */
function mix(h: number, value: number): number {
  let k = Math.imul(value, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  let x = h ^ k;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
