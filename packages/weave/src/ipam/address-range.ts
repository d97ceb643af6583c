import { formatIp, type Ipv4Address, Prefix } from "@cnilab/net";

/** Addresses from `start` up to, not including, `end` (net/address/address.go). `end` may be 2^32. */
export interface AddressRange {
  readonly start: Ipv4Address;
  readonly end: number;
}

export function sizeOf({ start, end }: AddressRange): number {
  return end - start;
}

/** `10.0.0.0-10.0.0.16`, the end not included. */
export function formatRange({ start, end }: AddressRange): string {
  return `${formatIp(start)}-${formatIp(end >>> 0)}`;
}

export function rangeOf({ address, length }: Prefix): AddressRange {
  const start = address as Ipv4Address;
  return { start, end: start + 2 ** (32 - length) };
}

/** Addresses for hosts: neither the first nor the last (RFC 1122). */
export function hostRange(subnet: Prefix): AddressRange {
  const { start, end } = rangeOf(subnet);
  return { start: start + 1, end: end - 1 };
}

export function overlaps(x: AddressRange, y: AddressRange): boolean {
  return x.start < y.end && y.start < x.end;
}

/** The biggest part that is a prefix; the first of several. */
export function biggestCidrRange(range: AddressRange): AddressRange {
  const whole = 2 ** Math.floor(Math.log2(sizeOf(range)));
  for (const size of [whole, whole / 2]) {
    const first = Math.ceil(range.start / size) * size;
    if (first + size <= range.end) return { start: first, end: first + size };
  }
  return range; // not reached: a range of n addresses has a prefix of half of them
}

/** Prefixes that together are the range, in order. */
export function cidrs({ start, end }: AddressRange): Prefix[] {
  const found: Prefix[] = [];
  for (let at = start; at < end; ) {
    let length = 32;
    while (length > 0 && at % 2 ** (33 - length) === 0 && at + 2 ** (33 - length) <= end) length--;
    found.push(new Prefix(at, length));
    at += 2 ** (32 - length);
  }
  return found;
}
