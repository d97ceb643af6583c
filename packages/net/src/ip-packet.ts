import type { IpAddress, IpFamily } from "./ip-address.ts";
import {
  IPOPT_COPY,
  type IpOption,
  ipv4OptionsLength,
  ipv6OptionsLength,
  NO_IP_OPTIONS,
} from "./ip-option.ts";
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
/** What a header names before IPv6 destination options. */
export const NEXTHDR_DEST = 60;
export const IPPROTO_SCTP = 132;

/** Bytes of the IPv6 fragment extension header. */
const IPV6_FRAGMENT_HEADER_LENGTH = 8;

/**
 * An IPv4 or IPv6 packet in one shape; the type of `src` tells which. IPv6 extension headers other than one of destination
 * options, which comes first, and the fragment header are not modelled.
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
  /** IPv4 options, or IPv6 destination options. */
  options: readonly IpOption[] = NO_IP_OPTIONS;
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
    const { options } = this;
    const has = options !== NO_IP_OPTIONS;
    if (typeof this.src === "number") return has ? 20 + ipv4OptionsLength(options) : 20;
    const fixed = has ? 40 + ipv6OptionsLength(options) : 40;
    const isFragment = this.moreFragments || this.fragmentOffset !== 0;
    return isFragment ? fixed + IPV6_FRAGMENT_HEADER_LENGTH : fixed;
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
    copy.options = this.options;
    return copy;
  }

  /** Of an IPv4 packet's options those that its fragments after the first one have, too; of IPv6 all. */
  get copiedOptions(): readonly IpOption[] {
    const { options } = this;
    if (options === NO_IP_OPTIONS || this.version === 6) return options;
    return options.filter(({ type }) => (type & IPOPT_COPY) !== 0);
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
