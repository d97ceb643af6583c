/**
 * An IPv6 address as four unsigned 32-bit words, most significant first.
 *
 * Instances are interned: {@link ipv6} returns the same object for the same address, so `===`
 * compares addresses of either family and an address can be the key of a `Map`. The table of known
 * addresses lives as long as the process (about 100 bytes an address ever made).
 */
export class Ipv6Address {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  /** A well-mixed unsigned 32-bit hash of the address, for hash tables on typed arrays. */
  readonly hash: number;
  /** How many addresses were known before this one: 32 bits stand for it in typed arrays. */
  readonly ordinal: number;

  /** Use {@link ipv6}: only interned instances compare with `===`. */
  private constructor(a: number, b: number, c: number, d: number, hash: number) {
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    this.hash = hash;
    this.ordinal = byOrdinal.length;
    byOrdinal.push(this);
  }

  /** The address with this `ordinal`. @throws RangeError when there is none */
  static at(ordinal: number): Ipv6Address {
    const address = byOrdinal[ordinal];
    if (address === undefined) throw new RangeError(`no IPv6 address has the number ${ordinal}`);
    return address;
  }

  /** The one instance of the address with these words; each word is taken modulo 2^32. */
  static of(a: number, b: number, c: number, d: number): Ipv6Address {
    a >>>= 0;
    b >>>= 0;
    c >>>= 0;
    d >>>= 0;
    const hash = hashWords(a, b, c, d);
    const bucket = known.get(hash);
    if (bucket === undefined) {
      const address = new Ipv6Address(a, b, c, d, hash);
      known.set(hash, address);
      return address;
    }
    const candidates = Array.isArray(bucket) ? bucket : [bucket];
    for (const k of candidates) if (k.a === a && k.b === b && k.c === c && k.d === d) return k;
    const address = new Ipv6Address(a, b, c, d, hash);
    known.set(hash, [...candidates, address]);
    return address;
  }

  /** The 32-bit word that holds bits `32 * index` and up, 0 being the most significant. */
  word(index: number): number {
    return index === 0 ? this.a : index === 1 ? this.b : index === 2 ? this.c : this.d;
  }

  /** RFC 5952 text. */
  toString(): string {
    return formatIpv6(this);
  }
}

const known = new Map<number, Ipv6Address | Ipv6Address[]>();
const byOrdinal: Ipv6Address[] = [];

function hashWords(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ b, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ c, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 16) ^ d, 0x165667b1);
  // Once more, or addresses that differ in the upper half of the last word share their low bits.
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 15)) >>> 0;
}

/** The interned IPv6 address with these four 32-bit words, most significant first. */
export function ipv6(a: number, b: number, c: number, d: number): Ipv6Address {
  return Ipv6Address.of(a, b, c, d);
}

/** RFC 5952 text of an address: lower case, the longest run of zero groups as `::`. */
export function formatIpv6(address: Ipv6Address): string {
  const { a, b, c, d } = address;
  // RFC 5952 section 5: IPv4-mapped addresses keep their dotted quad.
  if (a === 0 && b === 0 && c === 0xffff) {
    return `::ffff:${d >>> 24}.${(d >>> 16) & 255}.${(d >>> 8) & 255}.${d & 255}`;
  }
  const groups = [
    a >>> 16,
    a & 0xffff,
    b >>> 16,
    b & 0xffff,
    c >>> 16,
    c & 0xffff,
    d >>> 16,
    d & 0xffff,
  ];
  let best = -1;
  let bestLength = 1; // a single zero group is never shortened
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
    if (length > 0) i += length - 1;
  }
  const hex = groups.map((g) => g.toString(16));
  if (best < 0) return hex.join(":");
  return `${hex.slice(0, best).join(":")}::${hex.slice(best + bestLength).join(":")}`;
}

/** Parses IPv6 text without zone or brackets; `undefined` when it is not an IPv6 address. */
export function parseIpv6(text: string): Ipv6Address | undefined {
  if (text.length < 2 || text.length > 45) return undefined;
  let head = text;
  const tail: number[] = [];
  const lastColon = text.lastIndexOf(":");
  if (text.includes(".")) {
    const quad = parseDottedQuad(text.slice(lastColon + 1));
    if (quad === undefined || lastColon < 0) return undefined;
    tail.push(quad >>> 16, quad & 0xffff);
    // Keep a trailing "::" whole, drop a single separating colon.
    head = text.slice(0, text[lastColon - 1] === ":" ? lastColon + 1 : lastColon);
  }
  const gap = head.indexOf("::");
  const left = groupsOf(gap < 0 ? head : head.slice(0, gap));
  const right = gap < 0 ? [] : groupsOf(head.slice(gap + 2));
  if (left === undefined || right === undefined) return undefined;
  const missing = 8 - left.length - right.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) return undefined;
  const g = [...left, ...new Array<number>(Math.max(0, missing)).fill(0), ...right, ...tail];
  const word = (i: number) => ((g[i] ?? 0) << 16) | (g[i + 1] ?? 0);
  return Ipv6Address.of(word(0), word(2), word(4), word(6));
}

function groupsOf(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  for (const part of text.split(":")) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
    groups.push(Number.parseInt(part, 16));
  }
  return groups;
}

const DOT = 0x2e;
const ZERO = 0x30;

function parseDottedQuad(text: string): number | undefined {
  let value = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = 0;
      digits = 0;
      continue;
    }
    const digit = code - ZERO;
    if (digit < 0 || digit > 9) return undefined;
    // As Go's net/netip: no leading zeros, since some programs read those as octal.
    if (digits > 0 && octet === 0) return undefined;
    octet = octet * 10 + digit;
    digits++;
    if (octet > 255) return undefined;
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : undefined;
}

/** Parses a dotted quad without leading zeros; `undefined` when it is not an IPv4 address. */
export const parseIpv4: (text: string) => number | undefined = parseDottedQuad;
