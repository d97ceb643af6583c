import { formatIp, type Ipv4Address } from "@cnilab/net";
import { type AddressRange, biggestCidrRange, sizeOf } from "./address-range.ts";
import {
  addresses,
  contains,
  rangesOf,
  type SortedRanges,
  subtract,
  union,
} from "./sorted-ranges.ts";

/** Our own addresses: those in use, and those that are free (ipam/space/space.go). */
export class Space {
  #ours: SortedRanges = [];
  #free: SortedRanges = [];

  /** The lowest free address of the range; `undefined` where there is none. */
  allocate(range: AddressRange): Ipv4Address | undefined {
    const address = this.#freeIn(range)[0]?.start;
    if (address !== undefined) this.#take(address);
    return address;
  }

  /** @returns whether the address was free */
  claim(address: Ipv4Address): boolean {
    if (!contains(this.#free, address)) return false;
    this.#take(address);
    return true;
  }

  /** @returns whether the address was in use */
  release(address: Ipv4Address): boolean {
    if (!contains(this.#ours, address)) return false;
    const range = { start: address, end: address + 1 };
    this.#ours = subtract(this.#ours, range);
    this.#free = union(this.#free, range);
    return true;
  }

  /**
   * Gives addresses away: those of the biggest free prefix in the range, and of that no more than the upper half where it is more than
   * half of all that is free there.
   */
  donate(range: AddressRange): AddressRange | undefined {
    let biggest: AddressRange | undefined;
    for (const chunk of this.#freeIn(range)) {
      const prefix = biggestCidrRange(chunk);
      if (biggest === undefined || sizeOf(prefix) >= sizeOf(biggest)) biggest = prefix;
    }
    if (biggest === undefined) return undefined;
    const size = sizeOf(biggest);
    const given =
      size > Math.floor(this.freeCount(range) / 2)
        ? { start: biggest.start + Math.floor(size / 2), end: biggest.end }
        : biggest;
    this.#free = subtract(this.#free, given);
    return given;
  }

  freeCount(range?: AddressRange): number {
    return addresses(range === undefined ? this.#free : this.#freeIn(range).flatMap(boundaries));
  }

  ownedCount(): number {
    return addresses(this.#ours);
  }

  clear(): void {
    this.#ours = [];
    this.#free = [];
  }

  /** What of these ranges is not there yet becomes free space. */
  updateRanges(ranges: readonly AddressRange[]): void {
    let added: SortedRanges = [];
    for (const range of ranges) added = union(added, range);
    for (const range of rangesOf(this.#everything())) added = subtract(added, range);
    for (const range of rangesOf(added)) this.#free = union(this.#free, range);
  }

  /** All that we own, used or not. */
  ownedRanges(): AddressRange[] {
    return rangesOf(this.#everything());
  }

  /** As the real one prints it: `owned: 10.0.0.1+1 free: 10.0.0.2+6`. */
  toString(): string {
    const list = (name: string, ranges: SortedRanges) =>
      ranges.length === 0
        ? ""
        : `${name}:${rangesOf(ranges)
            .map((range) => ` ${formatIp(range.start)}+${sizeOf(range)} `)
            .join("")}`;
    return list("owned", this.#ours) + list("free", this.#free) || "No address ranges owned";
  }

  #take(address: Ipv4Address): void {
    const range = { start: address, end: address + 1 };
    this.#ours = union(this.#ours, range);
    this.#free = subtract(this.#free, range);
  }

  /** Free chunks, cut to the range, in order. */
  #freeIn({ start, end }: AddressRange): AddressRange[] {
    return rangesOf(this.#free)
      .filter((chunk) => chunk.end > start && chunk.start < end)
      .map((chunk) => ({ start: Math.max(chunk.start, start), end: Math.min(chunk.end, end) }));
  }

  #everything(): SortedRanges {
    let everything = this.#ours;
    for (const range of rangesOf(this.#free)) everything = union(everything, range);
    return everything;
  }
}

function boundaries({ start, end }: AddressRange): number[] {
  return [start, end];
}
