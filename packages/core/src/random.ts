import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** A stream of random numbers that the same seed repeats bit for bit. */
export interface Random {
  /** A uniform integer in 0 … 2^32 - 1. */
  uint32(): number;
  /** A uniform integer in 0 … `bound` - 1. @throws RangeError unless `bound` is 1 … 2^32 */
  below(bound: number): number;
  /** An independent stream, the same for the same `name` whatever was drawn from this one. */
  fork(name: string): Random;
}

/** The generator behind every {@link Random} of a run. */
export class SeededRandom implements Random {
  readonly #seed: number;
  /** Names of the forks that led here, each after a zero. */
  readonly #path: string;
  readonly #generator: { next(): number };

  /** @param seed any integer; its low 32 bits count */
  constructor(seed: number, path = "") {
    this.#seed = seed | 0;
    this.#path = path;
    // All 128 bits from a hash: generators that start with states alike begin with numbers alike.
    this.#generator = xoroshiro128plusFromState(
      MULTIPLIERS.map((multiplier) => hash(this.#seed, path, multiplier)),
    );
  }

  uint32(): number {
    return this.#generator.next() >>> 0;
  }

  below(bound: number): number {
    if (!(Number.isInteger(bound) && bound >= 1 && bound <= 0x100000000)) {
      throw new RangeError(`a bound is an integer from 1 to 2^32, not ${bound}`);
    }
    // Rejection sampling: without it the low results would be more likely.
    const limit = 0x100000000 - (0x100000000 % bound);
    for (;;) {
      const value = this.uint32();
      if (value < limit) return value % bound;
    }
  }

  fork(name: string): SeededRandom {
    return new SeededRandom(this.#seed, `${this.#path}\0${name}`);
  }
}

/** One for each word of the generator's state; the first is that of FNV-1a. */
const MULTIPLIERS = [0x01000193, 0x9e3779b1, 0x85ebca77, 0xc2b2ae3d];

/** FNV-1a over the text's UTF-16 units, started from the seed, with the last step of MurmurHash3. */
function hash(seed: number, text: string, multiplier: number): number {
  let h = Math.imul(seed ^ 0x811c9dc5, multiplier);
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), multiplier);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
