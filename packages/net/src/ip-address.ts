import { formatIpv6, Ipv6Address, parseIpv4, parseIpv6 } from "./ipv6-address.ts";

/** IPv4 addresses are unsigned 32-bit numbers in host order: 10.0.0.1 is 0x0a000001. */
export type Ipv4Address = number;

/** An address of either family. Both compare with `===` and work as `Map` keys. */
export type IpAddress = Ipv4Address | Ipv6Address;

/** IP protocol version, as in the first four bits of a packet. */
export type IpFamily = 4 | 6;

/** Text that should have been an address or a prefix and is not. */
export class AddressSyntaxError extends Error {
  override readonly name = "AddressSyntaxError";
  readonly text: string;
  constructor(text: string, expected: string) {
    super(`"${text}" is not ${expected}`);
    this.text = text;
  }
}

export function familyOf(address: IpAddress): IpFamily {
  return typeof address === "number" ? 4 : 6;
}

/** Number of bits of an address of this family: 32 or 128. */
export function addressBits(family: IpFamily): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** Parses an address of either family, or `undefined`. */
export function tryParseIp(text: string): IpAddress | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** Parses an address of either family. @throws AddressSyntaxError */
export function parseIp(text: string): IpAddress {
  const address = tryParseIp(text);
  if (address === undefined) throw new AddressSyntaxError(text, "an IP address");
  return address;
}

export function formatIp(address: IpAddress): string {
  if (typeof address !== "number") return formatIpv6(address);
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** `address:port`, with IPv6 in brackets. */
export function formatEndpoint(address: IpAddress, port: number): string {
  return typeof address === "number" ? `${formatIp(address)}:${port}` : `[${address}]:${port}`;
}

/** Order of addresses: IPv4 before IPv6, then by value. Negative, zero or positive. */
export function compareIp(x: IpAddress, y: IpAddress): number {
  if (typeof x === "number") return typeof y === "number" ? x - y : -1;
  if (typeof y === "number") return 1;
  return x.a - y.a || x.b - y.b || x.c - y.c || x.d - y.d;
}

/** The address `offset` further; wraps at the end of the family's range. `offset` is an integer. */
export function addToIp(address: IpAddress, offset: number): IpAddress {
  if (typeof address === "number") return (address + offset) >>> 0;
  return bigIntToIpv6(ipv6ToBigInt(address) + BigInt(offset));
}

export function ipv6ToBigInt(address: Ipv6Address): bigint {
  const { a, b, c, d } = address;
  return (((((BigInt(a) << 32n) | BigInt(b)) << 32n) | BigInt(c)) << 32n) | BigInt(d);
}

/** The low 128 bits of `value` as an address. */
export function bigIntToIpv6(value: bigint): Ipv6Address {
  const word = (shift: bigint) => Number((value >> shift) & 0xffffffffn);
  return Ipv6Address.of(word(96n), word(64n), word(32n), word(0n));
}

/** A 32-bit hash of an address of either family. */
export function hashIp(address: IpAddress): number {
  if (typeof address !== "number") return address.hash;
  let h = Math.imul(address ^ (address >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(address: IpAddress): boolean {
  return typeof address === "number" ? address >>> 28 === 0xe : address.a >>> 24 === 0xff;
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(address: IpAddress): boolean {
  return typeof address === "number" ? address >>> 24 === 127 : address === IPV6_LOOPBACK;
}

/** 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(address: IpAddress): boolean {
  return typeof address === "number" ? address >>> 16 === 0xa9fe : address.a >>> 22 === 0x3fa;
}

/** 0.0.0.0 or ::. */
export function isUnspecified(address: IpAddress): boolean {
  return address === 0 || address === IPV6_ANY;
}

export const IPV4_ANY: Ipv4Address = 0;
export const IPV4_BROADCAST: Ipv4Address = 0xffffffff;
export const IPV4_LOOPBACK: Ipv4Address = 0x7f000001;
export const IPV6_ANY: Ipv6Address = Ipv6Address.of(0, 0, 0, 0);
export const IPV6_LOOPBACK: Ipv6Address = Ipv6Address.of(0, 0, 0, 1);
