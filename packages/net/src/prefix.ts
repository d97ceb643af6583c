import {
  AddressSyntaxError,
  addressBits,
  bigIntToIpv6,
  compareIp,
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  ipv6ToBigInt,
  tryParseIp,
} from "./ip-address.ts";
import { Ipv6Address } from "./ipv6-address.ts";
import { equalLeadingBits } from "./leading-bits.ts";

/** The network mask of an IPv4 prefix length (0 to 32) as an unsigned number. */
export function ipv4Mask(length: number): number {
  return length === 0 ? 0 : (-1 << (32 - length)) >>> 0;
}

/** The address with all bits after the first `length` cleared. */
export function maskIp(address: IpAddress, length: number): IpAddress {
  if (typeof address === "number") return (address & ipv4Mask(length)) >>> 0;
  const word = (value: number, from: number) =>
    length >= from + 32 ? value : length <= from ? 0 : value & ipv4Mask(length - from);
  return Ipv6Address.of(
    word(address.a, 0),
    word(address.b, 32),
    word(address.c, 64),
    word(address.d, 96),
  );
}

/** A network: an address whose host bits are zero, and the number of network bits. Immutable. */
export class Prefix {
  readonly address: IpAddress;
  /** Network bits: 0 to 32 (IPv4) or 128 (IPv6). */
  readonly length: number;

  /** Host bits of `address` are cleared. @throws RangeError for a length outside the family's range */
  constructor(address: IpAddress, length: number) {
    if (!Number.isInteger(length) || length < 0 || length > addressBits(familyOf(address))) {
      throw new RangeError(
        `prefix length ${length} is outside 0..${addressBits(familyOf(address))}`,
      );
    }
    this.address = maskIp(address, length);
    this.length = length;
  }

  get family(): IpFamily {
    return familyOf(this.address);
  }

  /** Whether this is a single address: /32 or /128. */
  get isHost(): boolean {
    return this.length === addressBits(this.family);
  }

  contains(address: IpAddress): boolean {
    if (typeof address === "number") {
      return (
        typeof this.address === "number" && (address & ipv4Mask(this.length)) >>> 0 === this.address
      );
    }
    if (typeof this.address === "number") return false;
    // Not through maskIp: that would keep an address in the table of known ones for each one asked.
    const { a, b, c, d } = this.address;
    return (
      equalLeadingBits(address.a, a, this.length) &&
      equalLeadingBits(address.b, b, this.length - 32) &&
      equalLeadingBits(address.c, c, this.length - 64) &&
      equalLeadingBits(address.d, d, this.length - 96)
    );
  }

  /** Whether every address of `other` is in this prefix. */
  covers(other: Prefix): boolean {
    return other.length >= this.length && this.contains(other.address);
  }

  overlaps(other: Prefix): boolean {
    return this.covers(other) || other.covers(this);
  }

  equals(other: Prefix): boolean {
    return this.length === other.length && this.address === other.address;
  }

  /** Number of addresses; exact as a bigint. */
  get size(): bigint {
    return 1n << BigInt(addressBits(this.family) - this.length);
  }

  /** The highest address: the broadcast address of an IPv4 network. */
  get last(): IpAddress {
    if (typeof this.address === "number") return (this.address | ~ipv4Mask(this.length)) >>> 0;
    return bigIntToIpv6(ipv6ToBigInt(this.address) + this.size - 1n);
  }

  /** The `index`-th network of `length` bits inside this one. @throws RangeError when there is none */
  subnet(index: number | bigint, length: number): Prefix {
    const bits = addressBits(this.family);
    const count = length < this.length || length > bits ? 0n : 1n << BigInt(length - this.length);
    if (BigInt(index) < 0n || BigInt(index) >= count) {
      throw new RangeError(
        `${this} has ${count} networks of length ${length}, not one numbered ${index}`,
      );
    }
    const offset = BigInt(index) << BigInt(bits - length);
    if (typeof this.address === "number") return new Prefix(this.address + Number(offset), length);
    return new Prefix(bigIntToIpv6(ipv6ToBigInt(this.address) + offset), length);
  }

  toString(): string {
    return `${formatIp(this.address)}/${this.length}`;
  }

  /** The /32 or /128 of one address. */
  static host(address: IpAddress): Prefix {
    return new Prefix(address, addressBits(familyOf(address)));
  }

  /** By family, then address, then length. */
  static compare(x: Prefix, y: Prefix): number {
    return compareIp(x.address, y.address) || x.length - y.length;
  }
}

/** An address together with the length of the network it is on, as in `ip addr add 10.0.0.1/24`. */
export interface InterfaceAddress {
  readonly address: IpAddress;
  readonly length: number;
}

/** Parses `address/length`, keeping host bits; `undefined` when it is not one. */
export function tryParseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = tryParseIp(text.slice(0, slash));
  const length = parseLength(text, slash + 1);
  if (address === undefined || length === undefined) return undefined;
  return length > addressBits(familyOf(address)) ? undefined : { address, length };
}

/** One to three digits from `at` to the end, without leading zeros. */
function parseLength(text: string, at: number): number | undefined {
  const digits = text.length - at;
  if (digits < 1 || digits > 3) return undefined;
  let length = 0;
  for (let i = at; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9 || (i === at && digit === 0 && digits > 1)) return undefined;
    length = length * 10 + digit;
  }
  return length;
}

const ZERO = "0".charCodeAt(0);

/** Parses a prefix; host bits are cleared, as `ip route` and Kubernetes do. `undefined` when it is not one. */
export function tryParsePrefix(text: string): Prefix | undefined {
  const parsed = tryParseInterfaceAddress(text);
  return parsed && new Prefix(parsed.address, parsed.length);
}

/** Parses a prefix in CIDR notation. @throws AddressSyntaxError */
export function parsePrefix(text: string): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix === undefined) throw new AddressSyntaxError(text, "a prefix in CIDR notation");
  return prefix;
}

/** Parses `address/length`, keeping host bits. @throws AddressSyntaxError */
export function parseInterfaceAddress(text: string): InterfaceAddress {
  const parsed = tryParseInterfaceAddress(text);
  if (parsed === undefined) throw new AddressSyntaxError(text, "an address with a prefix length");
  return parsed;
}
