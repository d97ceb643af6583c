import { type Match, type MatchExtension, not } from "../extension.ts";
import { hex, type Masked, parseMasked } from "../numbers.ts";
import type { Walk } from "../walk.ts";

class MarkMatch implements Match {
  readonly pure = true;
  readonly #wanted: Masked;
  readonly #inverted: boolean;

  constructor(wanted: Masked, inverted: boolean) {
    this.#wanted = wanted;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    const { value, mask } = this.#wanted;
    return ((walk.skb.mark & mask) >>> 0 === value) !== this.#inverted;
  }

  get text(): string {
    return `-m mark ${not(this.#inverted)}--mark ${formatMark(this.#wanted)}`;
  }
}

/** `0x1`, or `0x1/0xf` where not all bits count. */
export function formatMark({ value, mask }: Masked): string {
  return mask === 0xffffffff ? hex(value) : `${hex(value)}/${hex(mask)}`;
}

export const mark: MatchExtension = {
  names: ["mark"],
  options: [{ name: "mark", args: 1, invertible: true }],
  parse(values) {
    values.required("mark");
    const wanted = values.parsed("mark", parseMasked) as Masked;
    return new MarkMatch(wanted, values.isInverted("mark"));
  },
};

class ConnmarkMatch implements Match {
  readonly pure = true;
  readonly needsConntrack = true;
  readonly #wanted: Masked;
  readonly #inverted: boolean;

  constructor(wanted: Masked, inverted: boolean) {
    this.#wanted = wanted;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    const { ct } = walk.skb;
    if (ct === undefined) return false;
    const { value, mask } = this.#wanted;
    return ((ct.mark & mask) >>> 0 === value) !== this.#inverted;
  }

  get text(): string {
    return `-m connmark ${not(this.#inverted)}--mark ${formatMark(this.#wanted)}`;
  }
}

export const connmark: MatchExtension = {
  names: ["connmark"],
  options: [{ name: "mark", args: 1, invertible: true }],
  parse(values) {
    values.required("mark");
    const wanted = values.parsed("mark", parseMasked) as Masked;
    return new ConnmarkMatch(wanted, values.isInverted("mark"));
  },
};
