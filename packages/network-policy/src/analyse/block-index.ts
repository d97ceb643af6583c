import {
  addToIp,
  compareIp,
  IPV4_ANY,
  IPV6_ANY,
  type IpAddress,
  type IpFamily,
  Prefix,
} from "@cnilab/net";
import type { BlockTerm } from "../policy/policy.ts";
import { type Bits, clearBit, emptyBits, setBit } from "./bits.ts";

/** Addresses next to each other that are in the same blocks; both ends included. */
export interface AddressRange {
  readonly first: IpAddress;
  readonly last: IpAddress;
}

/** Cuts one family's addresses into ranges where some blocks begin and end. */
export class BlockIndex {
  /** In order, without gaps: all of the family's addresses. */
  readonly ranges: readonly AddressRange[];
  /** For each range, the blocks that admit its addresses. */
  readonly #admitting: readonly Bits[];

  constructor(blocks: readonly BlockTerm[], family: IpFamily) {
    const whole = new Prefix(family === 4 ? IPV4_ANY : IPV6_ANY, 0);
    const ofFamily = (prefixes: readonly Prefix[]) => prefixes.filter((p) => p.family === family);
    const prefixes = [
      whole,
      ...blocks.flatMap(({ cidrs, except }) => [...ofFamily(cidrs), ...ofFamily(except)]),
    ];
    const starts = prefixes.map(({ address }) => address);
    for (const { last } of prefixes) {
      // Behind the family's last address nothing starts.
      if (compareIp(last, whole.last) < 0) starts.push(addToIp(last, 1));
    }
    starts.sort(compareIp);
    const firsts = starts.filter(
      (start, i) => i === 0 || compareIp(start, starts[i - 1] as IpAddress) !== 0,
    );
    this.ranges = firsts.map((first, i) => {
      const next = firsts[i + 1];
      return { first, last: next === undefined ? whole.last : addToIp(next, -1) };
    });
    this.#admitting = this.ranges.map(() => emptyBits(blocks.length));
    blocks.forEach(({ cidrs, except }, i) => {
      for (const cidr of ofFamily(cidrs)) this.#forEachRange(cidr, (bits) => setBit(bits, i));
      for (const hole of ofFamily(except)) this.#forEachRange(hole, (bits) => clearBit(bits, i));
    });
  }

  /** The ranges that a prefix is made of. */
  #forEachRange(prefix: Prefix, each: (admitting: Bits) => void): void {
    const last = this.rangeOf(prefix.last);
    for (let range = this.rangeOf(prefix.address); range <= last; range++) {
      each(this.#admitting[range] as Bits);
    }
  }

  /** Which blocks admit an address of the family. */
  admitting(address: IpAddress): Bits {
    return this.#admitting[this.rangeOf(address)] as Bits;
  }

  /** Place in {@link ranges} of the range that an address lies in. */
  rangeOf(address: IpAddress): number {
    let low = 0;
    let high = this.ranges.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compareIp((this.ranges[middle] as AddressRange).first, address) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
