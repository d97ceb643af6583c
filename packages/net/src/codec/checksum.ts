import type { IpAddress } from "../ip-address.ts";
import type { IpPacket } from "../ip-packet.ts";

/**
 * The Internet checksum (RFC 1071) of octets whose checksum field, at `field`, counts as zero.
 * `sum` is what else it covers: see {@link pseudoHeaderSum}.
 */
export function internetChecksum(octets: DataView, field: number, sum = 0): number {
  return fold(octetSum(octets) - octets.getUint16(field) + sum);
}

/** Whether octets with their checksum in them, and what else it covers, give the sum that they have to. */
export function isChecksumRight(octets: DataView, sum = 0): boolean {
  return fold(octetSum(octets) + sum) === 0;
}

/** At most 65,535 octets: the sum stays below 2^32. */
function octetSum(octets: DataView): number {
  const even = octets.byteLength & ~1;
  let sum = even < octets.byteLength ? octets.getUint8(even) << 8 : 0;
  for (let at = 0; at < even; at += 2) sum += octets.getUint16(at);
  return sum;
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/**
 * Sum of the words of the pseudo-header that TCP, UDP and ICMPv6 checksums cover (RFC 9293 section
 * 3.1, RFC 8200 section 8.1). `length` is that of the transport header and its data.
 */
export function pseudoHeaderSum({ src, dst }: IpPacket, protocol: number, length: number): number {
  return wordSum(src) + wordSum(dst) + protocol + length;
}

function wordSum(address: IpAddress): number {
  if (typeof address === "number") return (address >>> 16) + (address & 0xffff);
  return wordSum(address.a) + wordSum(address.b) + wordSum(address.c) + wordSum(address.d);
}
