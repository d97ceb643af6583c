import { cookedState, LENGTH, nextSeed, TAP } from "./go-rand-state.ts";

const MODULUS = 0x7fffffffn;

/** The numbers of Go's math/rand version 1 (`rand.New(rand.NewSource(seed))`). 64-bit words are kept as two halves. */
export class GoRand {
  readonly #high = new Uint32Array(LENGTH);
  readonly #low = new Uint32Array(LENGTH);
  #tap = 0;
  #feed = LENGTH - TAP;

  /** @param seed an int64 */
  constructor(seed: bigint | number) {
    const { high, low } = cookedHalves();
    let x = firstSeed(BigInt(seed));
    for (let i = 0; i < 20; i++) x = nextSeed(x);
    for (let i = 0; i < LENGTH; i++) {
      const x1 = nextSeed(x);
      const x2 = nextSeed(x1);
      x = nextSeed(x2);
      // x1 << 40 ^ x2 << 20 ^ x3 of 64 bits (rng.go Seed)
      this.#high[i] = (x1 << 8) ^ (x2 >>> 12) ^ (high[i] as number);
      this.#low[i] = (x2 << 20) ^ x ^ (low[i] as number);
    }
  }

  /** `rand.Rand.Uint32`: bits 31 to 62 of the next word. */
  uint32(): number {
    this.#tap = before(this.#tap);
    this.#feed = before(this.#feed);
    const low = (this.#low[this.#feed] as number) + (this.#low[this.#tap] as number);
    const high = (this.#high[this.#feed] as number) + (this.#high[this.#tap] as number);
    this.#low[this.#feed] = low;
    this.#high[this.#feed] = high + (low > 0xffffffff ? 1 : 0);
    return (
      (((this.#high[this.#feed] as number) << 1) | ((this.#low[this.#feed] as number) >>> 31)) >>> 0
    );
  }

  /**
   * `big.Int.Rand`: a uniform number in 0 … `limit` - 1. Words of 64 bits are drawn, as many as the limit has, and the highest masked to
   * the limit's bits, until the number is small enough (math/big nat.go random).
   */
  below(limit: bigint): bigint {
    const bits = limit.toString(2).length;
    const words = Math.ceil(bits / 64);
    for (;;) {
      let value = 0n;
      for (let i = 0; i < words; i++) {
        const low = this.uint32();
        const high = this.uint32();
        value |= ((BigInt(high) << 32n) | BigInt(low)) << BigInt(64 * i);
      }
      value = BigInt.asUintN(bits, value);
      if (value < limit) return value;
    }
  }
}

function before(index: number): number {
  return index === 0 ? LENGTH - 1 : index - 1;
}

function firstSeed(seed: bigint): number {
  const rest = seed % MODULUS;
  const positive = rest < 0n ? rest + MODULUS : rest;
  return positive === 0n ? 89_482_311 : Number(positive);
}

interface Halves {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
}

let halves: Halves | undefined;

function cookedHalves(): Halves {
  if (halves === undefined) {
    const state = cookedState();
    halves = {
      high: Uint32Array.from(state, (word) => Number(word >> 32n)),
      low: Uint32Array.from(state, (word) => Number(word & 0xffffffffn)),
    };
  }
  return halves;
}
