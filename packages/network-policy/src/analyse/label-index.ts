import type { LabelSelector, LabelSelectorRequirement, Labels } from "@cnilab/core";
import {
  type LabelExpression,
  type LabelRequirement,
  valueMatches,
} from "../policy/label-expression.ts";
import { andInto, andNotInto, type Bits, emptyBits, fullBits, orInto, setBit } from "./bits.ts";

/** Answers selectors for many sets of labels at once, by who has which value of a key. */
export class LabelIndex {
  readonly #size: number;
  /** Key → value → who has it. */
  readonly #having = new Map<string, Map<string, number[]>>();
  readonly #answers = new Map<string, Bits>();

  constructor(all: readonly Labels[]) {
    this.#size = all.length;
    all.forEach((labels, i) => {
      for (const [key, value] of Object.entries(labels)) {
        let values = this.#having.get(key);
        if (values === undefined) {
          values = new Map();
          this.#having.set(key, values);
        }
        const who = values.get(value);
        if (who === undefined) values.set(value, [i]);
        else who.push(i);
      }
    });
  }

  /** Which of the label sets a selector admits, by their place in the list. Not to be written to. */
  select(selector: LabelSelector): Bits {
    return this.#remember(JSON.stringify(selector), () => {
      const bits = fullBits(this.#size);
      for (const requirement of requirements(selector)) andInto(bits, this.#satisfy(requirement));
      return bits;
    });
  }

  /** The same for an expression. Not to be written to. */
  where(expression: LabelExpression): Bits {
    switch (expression.op) {
      case "all":
      case "any": {
        const isAll = expression.op === "all";
        const bits = isAll ? fullBits(this.#size) : emptyBits(this.#size);
        for (const each of expression.of) (isAll ? andInto : orInto)(bits, this.where(each));
        return bits;
      }
      case "not":
        return this.#without(this.where(expression.of));
      default:
        return this.#remember(JSON.stringify(expression), () => this.#fulfil(expression));
    }
  }

  #fulfil(requirement: LabelRequirement): Bits {
    const having = this.#having.get(requirement.key);
    const bits = emptyBits(this.#size);
    // A value that is asked for is found at once, others by looking at each.
    const values = requirement.op === "in" ? requirement.values : (having?.keys() ?? []);
    for (const value of values) {
      if (!valueMatches(requirement, value)) continue;
      for (const i of having?.get(value) ?? []) setBit(bits, i);
    }
    return bits;
  }

  #without(bits: Bits): Bits {
    const others = fullBits(this.#size);
    andNotInto(others, bits);
    return others;
  }

  #satisfy(requirement: LabelSelectorRequirement): Bits {
    return this.#remember(JSON.stringify(requirement), () => {
      const { key, operator, values = [] } = requirement;
      const having = this.#having.get(key);
      const positive = operator === "In" || operator === "Exists";
      const wanted = operator === "In" || operator === "NotIn" ? values : having?.keys();
      const bits = emptyBits(this.#size);
      for (const value of wanted ?? []) for (const i of having?.get(value) ?? []) setBit(bits, i);
      return positive ? bits : this.#without(bits);
    });
  }

  #remember(key: string, find: () => Bits): Bits {
    let bits = this.#answers.get(key);
    if (bits === undefined) {
      bits = find();
      this.#answers.set(key, bits);
    }
    return bits;
  }
}

/** A selector's requirements in one form: `matchLabels` are `In` with one value. */
export function requirements({
  matchLabels = {},
  matchExpressions = [],
}: LabelSelector): readonly LabelSelectorRequirement[] {
  const equal = Object.entries(matchLabels).map(
    ([key, value]): LabelSelectorRequirement => ({ key, operator: "In", values: [value] }),
  );
  return [...equal, ...matchExpressions];
}
