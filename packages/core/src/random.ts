import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A stream of random numbers that the same seed repeats bit for bit. */
export interface Random {
  /** A uniform integer in 0 … 2^32 - 1. */
  uint32(): number;
  /** A uniform integer in 0 … `bound` - 1. `bound` is 1 … 2^32. */
  below(bound: number): number;
  /** An independent stream, the same for the same `name` whatever was drawn from this one. */
  fork(name: string): Random;
}

/** The generator behind every {@link Random} of a run. */
export class SeededRandom implements Random {
  readonly #seed: number;
  readonly #generator: { next(): number };

  /** @param seed any integer; its low 32 bits count */
  constructor(seed: number) {
    this.#seed = seed | 0;
    this.#generator = xoroshiro128plus(this.#seed);
  }

  uint32(): number {
    return this.#generator.next() >>> 0;
  }

  below(bound: number): number {
    // Rejection sampling: without it the low results would be more likely.
    const limit = 0x100000000 - (0x100000000 % bound);
    for (;;) {
      const value = this.uint32();
      if (value < limit) return value % bound;
    }
  }

  fork(name: string): SeededRandom {
    return new SeededRandom(hashName(this.#seed, name));
  }
}

/** FNV-1a over the name's UTF-16 units, started from the seed. */
function hashName(seed: number, name: string): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h ^ (h >>> 15);
}
