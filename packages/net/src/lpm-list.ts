import type { IpAddress } from "./ip-address.ts";
import type { Ipv6Address } from "./ipv6-address.ts";
import { equalLeadingBits } from "./leading-bits.ts";
import type { LpmStructure } from "./lpm-structure.ts";
import { ipv4Mask, Prefix } from "./prefix.ts";

/** Slots of a prefix. */
const STRIDE = 3;

/** Few prefixes of one family in a list, longest first: the first that matches is the answer. */
export class LpmList<V> implements LpmStructure<V> {
  /**
   * For each prefix its network, its mask (IPv4) or length (IPv6), and its value. Networks and masks of
   * IPv4 are signed: V8 keeps such numbers in the array itself. Replaced at each change: what
   * `toSpliced` makes has no room to grow.
   */
  #slots: readonly unknown[] = [];

  get size(): number {
    return this.#slots.length / STRIDE;
  }

  lookupShorter(address: IpAddress, below: number): V | undefined {
    const slots = this.#slots;
    if (typeof address !== "number") return lookup6(slots, address, below) as V | undefined;
    for (let i = 0; i < slots.length; i += STRIDE) {
      const mask = slots[i + 1] as number;
      if (((address ^ (slots[i] as number)) & mask) !== 0) continue;
      if (below > 32 || maskLength(mask) < below) return slots[i + 2] as V;
    }
    return undefined;
  }

  get(prefix: Prefix): V | undefined {
    const at = this.#indexOf(prefix);
    return at < 0 ? undefined : (this.#slots[at + 2] as V);
  }

  set(prefix: Prefix, value: V): void {
    const at = this.#indexOf(prefix);
    if (at >= 0) {
      this.#slots = this.#slots.with(at + 2, value);
      return;
    }
    const { address, length } = prefix;
    const [network, extent] =
      typeof address === "number" ? [address | 0, ipv4Mask(length) | 0] : [address, length];
    let behind = 0;
    while (behind < this.#slots.length && this.#length(behind) >= length) behind += STRIDE;
    this.#slots = this.#slots.toSpliced(behind, 0, network, extent, value);
  }

  delete(prefix: Prefix): boolean {
    const at = this.#indexOf(prefix);
    if (at < 0) return false;
    this.#slots = this.#slots.toSpliced(at, STRIDE);
    return true;
  }

  entries(): [Prefix, V][] {
    const found: [Prefix, V][] = [];
    for (let at = 0; at < this.#slots.length; at += STRIDE) {
      const prefix = new Prefix(this.#address(at), this.#length(at));
      found.push([prefix, this.#slots[at + 2] as V]);
    }
    return found.sort(([x], [y]) => Prefix.compare(x, y));
  }

  #address(at: number): IpAddress {
    const network = this.#slots[at] as IpAddress;
    return typeof network === "number" ? network >>> 0 : network;
  }

  #length(at: number): number {
    const extent = this.#slots[at + 1] as number;
    return typeof this.#slots[at] === "number" ? maskLength(extent) : extent;
  }

  /** Where the slots of exactly this prefix begin, or -1. */
  #indexOf({ address, length }: Prefix): number {
    for (let at = 0; at < this.#slots.length; at += STRIDE) {
      if (this.#address(at) === address && this.#length(at) === length) return at;
    }
    return -1;
  }
}

function lookup6(slots: readonly unknown[], address: Ipv6Address, below: number): unknown {
  for (let i = 0; i < slots.length; i += STRIDE) {
    const { a, b, c, d } = slots[i] as Ipv6Address;
    const length = slots[i + 1] as number;
    if (
      length < below &&
      equalLeadingBits(address.a, a, length) &&
      equalLeadingBits(address.b, b, length - 32) &&
      equalLeadingBits(address.c, c, length - 64) &&
      equalLeadingBits(address.d, d, length - 96)
    ) {
      return slots[i + 2];
    }
  }
  return undefined;
}

/** Bits of an IPv4 mask. */
function maskLength(mask: number): number {
  return Math.clz32(~mask);
}
