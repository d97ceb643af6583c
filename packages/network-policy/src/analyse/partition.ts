import { type Bits, forEachBit } from "./bits.ts";

/** Things sorted into classes, which sets split further. */
export class Partition {
  readonly #classOf: Int32Array;
  readonly #sizes: number[] = [];

  /** @param startsIn the first class of each thing: numbers from 0, none of them unused */
  constructor(size: number, startsIn: (thing: number) => number) {
    this.#classOf = Int32Array.from({ length: size }, (_, thing) => startsIn(thing));
    for (const each of this.#classOf) this.#sizes[each] = (this.#sizes[each] ?? 0) + 1;
  }

  get count(): number {
    return this.#sizes.length;
  }

  classOf(thing: number): number {
    return this.#classOf[thing] as number;
  }

  /** Parts those in the set from those of their class that are not. Costs what the set has members. */
  split(set: Bits): void {
    const inSet = new Map<number, number>();
    forEachBit(set, (thing) => {
      const found = this.classOf(thing);
      inSet.set(found, (inSet.get(found) ?? 0) + 1);
    });
    const partedAs = new Map<number, number>();
    for (const [found, count] of inSet) {
      const size = this.#sizes[found] as number;
      if (count === size) continue;
      this.#sizes[found] = size - count;
      partedAs.set(found, this.#sizes.push(count) - 1);
    }
    if (partedAs.size === 0) return;
    forEachBit(set, (thing) => {
      const parted = partedAs.get(this.classOf(thing));
      if (parted !== undefined) this.#classOf[thing] = parted;
    });
  }
}
