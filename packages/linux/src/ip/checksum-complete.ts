import { IPPROTO_UDP, type IpAddress, type IpPacket, UdpDatagram } from "@cnilab/net";
import type { Skb } from "../skb.ts";

/**
 * A packet whose checksum its sender has worked out (one that came in fragments, or from a packet socket) is summed by connection tracking, and
 * the sum is kept with it (`nf_ip6_checksum`, CHECKSUM_COMPLETE with `csum_complete_sw`). Whoever writes into an IPv6
 * header later leaves that sum as it was, as no checksum of a header makes up for it as in IPv4; to the receiver the
 * packet looks damaged then. What is kept here is what the header has added to the sum.
 */
export function rememberSum(skb: Skb): void {
  const packet = skb.ip;
  const isSummed = skb.summedBySender || skb.fragMaxSize > 0;
  if (packet.version === 6 && packet.protocol === IPPROTO_UDP && isSummed) {
    skb.summedHeader = headerSum(packet);
  }
}

/**
 * Takes the change of an address by `nft_payload_set` into the kept sum (`nft_payload_l4csum_update`): that of the
 * UDP checksum, which has made up for it already.
 */
export function addressChanged(skb: Skb, from: IpAddress, to: IpAddress): void {
  if (skb.summedHeader < 0) return;
  skb.summedHeader = (skb.summedHeader + addressSum(to) + ONES - addressSum(from)) % ONES;
}

/** Whether UDP takes the packet for damaged (`udp6_csum_init`). Short ones it sums itself (CHECKSUM_BREAK). */
export function looksDamaged(skb: Skb): boolean {
  const { summedHeader, ip: packet } = skb;
  if (summedHeader < 0 || !(packet.payload instanceof UdpDatagram)) return false;
  return packet.payload.length > CHECKSUM_BREAK && headerSum(packet) !== summedHeader;
}

/** Bytes. */
const CHECKSUM_BREAK = 76;

/** Sums of 16-bit words are taken modulo this (RFC 1071). */
const ONES = 0xffff;

/** What the traffic class and the hop limit add, where they stand in their words (RFC 8200 section 3). */
function headerSum({ tos, ttl }: IpPacket): number {
  return (tos << 4) + ttl;
}

/** 2^16 is 1 modulo 2^16 - 1, and so is 2^32: words of 32 bits may be added as they are. */
function addressSum(address: IpAddress): number {
  if (typeof address === "number") return address % ONES;
  return (address.a + address.b + address.c + address.d) % ONES;
}
