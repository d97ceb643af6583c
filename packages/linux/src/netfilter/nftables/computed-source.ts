import { hashWords } from "../word-table.ts";
import type { BinaryOperator, NumgenExpression } from "./expression.ts";
import type { NftSet } from "./nft-set.ts";
import type { SetElements } from "./set-elements.ts";
import type { Source } from "./source.ts";
import type { Walk } from "./walk.ts";

/** `numgen`: one after the other, or at random (net/netfilter/nft_numgen.c). */
export class NumgenSource implements Source {
  readonly words = 1;
  readonly #numgen: NumgenExpression;

  constructor(numgen: NumgenExpression) {
    this.#numgen = numgen;
  }

  load(walk: Walk, at: number): boolean {
    const { mode, modulus, offset } = this.#numgen;
    const { netns } = walk;
    netns.network.recording?.unrepeatable();
    let value: number;
    if (mode === "random") value = netns.kernel.random.below(modulus);
    else {
      const state = walk.stateOf(this.#numgen);
      value = state.packets % modulus;
      state.packets = value + 1;
    }
    walk.registers[at] = value + offset;
    return true;
  }
}

/**
 * `jhash` and `symhash`. The kernel seeds the first unless the rule does, and keys the second at boot:
 * which value comes out is arbitrary there, too, but always the same for the same packet.
 */
export class HashSource implements Source {
  readonly words = 1;
  readonly #of: Source;
  readonly #modulus: number;
  readonly #seed: number;
  readonly #offset: number;

  constructor(of: Source, modulus: number, seed: number, offset: number) {
    this.#of = of;
    this.#modulus = modulus;
    this.#seed = seed;
    this.#offset = offset;
  }

  load(walk: Walk, at: number): boolean {
    const { registers } = walk;
    if (!this.#of.load(walk, at)) return false;
    registers[at + this.#of.words] = this.#seed;
    const hash = hashWords(registers, at, this.#of.words + 1);
    // reciprocal_scale
    registers[at] = Math.floor((hash / 0x100000000) * this.#modulus) + this.#offset;
    return true;
  }
}

/** Addresses and ports of a flow, the same for both directions (`__skb_get_hash_symmetric`). */
export class FlowSource implements Source {
  readonly words = 10;
  readonly #parts: readonly [Source, Source, Source, Source];

  constructor(saddr: Source, daddr: Source, sport: Source, dport: Source) {
    this.#parts = [saddr, daddr, sport, dport];
  }

  load(walk: Walk, at: number): boolean {
    const { registers } = walk;
    registers.fill(0, at, at + this.words);
    const [saddr, daddr, sport, dport] = this.#parts;
    if (!saddr.load(walk, at) || !daddr.load(walk, at + 4)) return false;
    if (!sport.load(walk, at + 8) || !dport.load(walk, at + 9)) registers.fill(0, at + 8, at + 10);
    for (let i = 0; i < 4; i++) {
      const sum = (registers[at + i] as number) + (registers[at + 4 + i] as number);
      registers[at + 4 + i] = (registers[at + i] as number) ^ (registers[at + 4 + i] as number);
      registers[at + i] = sum;
    }
    const sum = (registers[at + 8] as number) + (registers[at + 9] as number);
    registers[at + 9] = (registers[at + 8] as number) ^ (registers[at + 9] as number);
    registers[at + 8] = sum;
    return true;
  }
}

/** Arithmetic with a constant, word by word; shifts of one word only. */
export class BinarySource implements Source {
  readonly words: number;
  readonly #operator: BinaryOperator;
  readonly #left: Source;
  readonly #right: Uint32Array;

  constructor(operator: BinaryOperator, left: Source, right: Uint32Array) {
    this.#operator = operator;
    this.#left = left;
    this.#right = right;
    this.words = left.words;
  }

  load(walk: Walk, at: number): boolean {
    if (!this.#left.load(walk, at)) return false;
    const { registers } = walk;
    for (let i = 0; i < this.words; i++) {
      const x = registers[at + i] as number;
      const y = this.#right[i] as number;
      registers[at + i] = apply(this.#operator, x, y);
    }
    return true;
  }
}

function apply(operator: BinaryOperator, x: number, y: number): number {
  switch (operator) {
    case "&":
      return x & y;
    case "|":
      return x | y;
    case "^":
      return x ^ y;
    case "<<":
      return x << y;
    case ">>":
      return x >>> y;
  }
}

/** A set or map that a rule asks: its own, or one of the table by number. */
export class SetAccess {
  readonly #own: NftSet | undefined;
  readonly #number: number;

  constructor(set: NftSet, number: number) {
    this.#own = set.options.anonymous ? set : undefined;
    this.#number = number;
  }

  elements({ table, now }: Walk): SetElements | undefined {
    if (this.#own !== undefined) return this.#own.elements;
    const set = table.sets.at(this.#number);
    return set && (set.volatile ? table.elementsOf(set, now) : set.elements);
  }
}

/** What a map has for a key. */
export class MapSource implements Source {
  readonly words: number;
  readonly #key: Source;
  readonly #map: SetAccess;

  constructor(key: Source, map: SetAccess, words: number) {
    this.#key = key;
    this.#map = map;
    this.words = words;
  }

  load(walk: Walk, at: number): boolean {
    if (!this.#key.load(walk, at)) return false;
    const element = this.#map.elements(walk)?.find(walk.registers, at, walk.now);
    const words = element?.dataWords;
    if (element === undefined || words === undefined) return false;
    walk.netns.network.recording?.expires(element.expires);
    walk.registers.set(words, at);
    return true;
  }
}
