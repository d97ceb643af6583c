import type { IpAddress, IpFamily } from "./ip-address.ts";
import type { Payload } from "./payload.ts";

export const IPPROTO_ICMP = 1;
export const IPPROTO_IGMP = 2;
export const IPPROTO_IPIP = 4;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_GRE = 47;
export const IPPROTO_ESP = 50;
export const IPPROTO_ICMPV6 = 58;
/** What the header of an IPv6 fragment names in place of its protocol. */
export const NEXTHDR_FRAGMENT = 44;
export const IPPROTO_SCTP = 132;

/** Bytes of the IPv6 fragment extension header. */
const IPV6_FRAGMENT_HEADER_LENGTH = 8;

/**
 * An IPv4 or IPv6 packet in one shape; the type of `src` tells which. IPv4 options and IPv6
 * extension headers other than the fragment header are not modelled.
 */
export class IpPacket implements Payload {
  src: IpAddress;
  dst: IpAddress;
  /** IPv4 protocol or IPv6 (last) next header. */
  protocol: number;
  /** IPv4 time to live or IPv6 hop limit. */
  ttl: number;
  /** IPv4 type of service or IPv6 traffic class. */
  tos = 0;
  /** IPv4 identification, or the identification of an IPv6 fragment. */
  id = 0;
  /** IPv4 DF bit; routers never fragment IPv6 whatever this says. */
  dontFragment = false;
  moreFragments = false;
  /** Bytes from the start of the original payload. */
  fragmentOffset = 0;
  /** IPv6 only. */
  flowLabel = 0;
  payload: Payload;

  constructor(src: IpAddress, dst: IpAddress, protocol: number, payload: Payload, ttl = 64) {
    this.src = src;
    this.dst = dst;
    this.protocol = protocol;
    this.ttl = ttl;
    this.payload = payload;
  }

  get version(): IpFamily {
    return typeof this.src === "number" ? 4 : 6;
  }

  get isFragment(): boolean {
    return this.moreFragments || this.fragmentOffset !== 0;
  }

  get headerLength(): number {
    if (typeof this.src === "number") return 20;
    return this.moreFragments || this.fragmentOffset !== 0 ? 40 + IPV6_FRAGMENT_HEADER_LENGTH : 40;
  }

  get length(): number {
    return this.headerLength + this.payload.length;
  }

  clone(): IpPacket {
    return this.withPayload(this.payload.clone());
  }

  /** A copy of the header around another payload. */
  withPayload(payload: Payload): IpPacket {
    const copy = new IpPacket(this.src, this.dst, this.protocol, payload, this.ttl);
    copy.tos = this.tos;
    copy.id = this.id;
    copy.dontFragment = this.dontFragment;
    copy.moreFragments = this.moreFragments;
    copy.fragmentOffset = this.fragmentOffset;
    copy.flowLabel = this.flowLabel;
    return copy;
  }
}

/**
 * The payload of one fragment: bytes `offset` to `offset + length` of the payload of `whole`,
 * the packet before it was cut. The transport header is in the bytes of the first fragment only.
 */
export class FragmentPayload implements Payload {
  readonly whole: IpPacket;
  readonly offset: number;
  readonly length: number;

  constructor(whole: IpPacket, offset: number, length: number) {
    this.whole = whole;
    this.offset = offset;
    this.length = length;
  }

  /** Each copy has its own packet, as each would be put together by itself. */
  clone(): FragmentPayload {
    return new FragmentPayload(this.whole.clone(), this.offset, this.length);
  }
}
