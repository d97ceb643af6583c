import type { IpPacket } from "./ip-packet.ts";
import type { Ipv6Address } from "./ipv6-address.ts";
import type { Mac } from "./mac.ts";
import { Data, type Payload } from "./payload.ts";

// ICMP for IPv4 (RFC 792)
export const ICMP_ECHOREPLY = 0;
export const ICMP_DEST_UNREACH = 3;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETERPROB = 12;

export const ICMP_NET_UNREACH = 0;
export const ICMP_HOST_UNREACH = 1;
export const ICMP_PROT_UNREACH = 2;
export const ICMP_PORT_UNREACH = 3;
export const ICMP_FRAG_NEEDED = 4;
export const ICMP_NET_ANO = 9;
export const ICMP_HOST_ANO = 10;
export const ICMP_PKT_FILTERED = 13;

// ICMP for IPv6 (RFC 4443)
export const ICMPV6_DEST_UNREACH = 1;
export const ICMPV6_PKT_TOOBIG = 2;
export const ICMPV6_TIME_EXCEED = 3;
export const ICMPV6_PARAMPROB = 4;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;

export const ICMPV6_NOROUTE = 0;
export const ICMPV6_ADM_PROHIBITED = 1;
export const ICMPV6_ADDR_UNREACH = 3;
export const ICMPV6_PORT_UNREACH = 4;
export const ICMPV6_POLICY_FAIL = 5;
export const ICMPV6_REJECT_ROUTE = 6;

// Neighbour discovery (RFC 4861)
export const NDISC_ROUTER_SOLICITATION = 133;
export const NDISC_ROUTER_ADVERTISEMENT = 134;
export const NDISC_NEIGHBOUR_SOLICITATION = 135;
export const NDISC_NEIGHBOUR_ADVERTISEMENT = 136;
export const NDISC_REDIRECT = 137;

/** An echo or error message of ICMP or ICMPv6. */
export class IcmpMessage implements Payload {
  type: number;
  code: number;
  /** Bytes 4 to 7: echo identifier and sequence, or the MTU of a "too big" message. */
  rest: number;
  /** Echo data, or the start of the packet that an error is about. */
  payload: Payload | QuotedPacket;

  constructor(type: number, code: number, rest: number, payload: Payload = Data.empty) {
    this.type = type;
    this.code = code;
    this.rest = rest;
    this.payload = payload;
  }

  /** An echo request or reply. `id` and `sequence` are 16 bits each. */
  static echo(
    type: number,
    id: number,
    sequence: number,
    payload: Payload = Data.empty,
  ): IcmpMessage {
    return new IcmpMessage(type, 0, ((id << 16) | sequence) >>> 0, payload);
  }

  get echoId(): number {
    return this.rest >>> 16;
  }

  set echoId(id: number) {
    this.rest = ((id << 16) | (this.rest & 0xffff)) >>> 0;
  }

  get echoSequence(): number {
    return this.rest & 0xffff;
  }

  get length(): number {
    return 8 + this.payload.length;
  }

  clone(): IcmpMessage {
    return new IcmpMessage(this.type, this.code, this.rest, this.payload.clone());
  }
}

/** The packet that an ICMP error quotes, cut to `length` bytes on the wire. */
export class QuotedPacket implements Payload {
  readonly packet: IpPacket;
  readonly length: number;

  constructor(packet: IpPacket, maxLength: number) {
    this.packet = packet;
    this.length = Math.min(packet.length, maxLength);
  }

  clone(): QuotedPacket {
    return new QuotedPacket(this.packet.clone(), this.length);
  }
}

/** A neighbour solicitation or advertisement, with at most one link-layer address option. */
export class NeighbourMessage implements Payload {
  type: number;
  target: Ipv6Address;
  /** Source (solicitation) or target (advertisement) link-layer address; `undefined` when absent. */
  linkLayerAddress: Mac | undefined;
  router = false;
  solicited = false;
  override = false;

  constructor(type: number, target: Ipv6Address, linkLayerAddress: Mac | undefined) {
    this.type = type;
    this.target = target;
    this.linkLayerAddress = linkLayerAddress;
  }

  get length(): number {
    return this.linkLayerAddress === undefined ? 24 : 32;
  }

  clone(): NeighbourMessage {
    const copy = new NeighbourMessage(this.type, this.target, this.linkLayerAddress);
    copy.router = this.router;
    copy.solicited = this.solicited;
    copy.override = this.override;
    return copy;
  }
}

/** Whether an ICMP (4) or ICMPv6 (6) type reports an error about another packet. */
export function isIcmpError(version: 4 | 6, type: number): boolean {
  if (version === 6) return type < 128;
  return (
    type === ICMP_DEST_UNREACH ||
    type === ICMP_TIME_EXCEEDED ||
    type === ICMP_PARAMETERPROB ||
    type === ICMP_REDIRECT ||
    type === 4
  );
}
