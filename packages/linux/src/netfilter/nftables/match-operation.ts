import type { SetAccess } from "./computed-source.ts";
import type { DeviceNameSource } from "./meta-source.ts";
import type { Operation } from "./operation.ts";
import type { Source } from "./source.ts";
import { runStateful } from "./stateful-operation.ts";
import type { ComparisonOperator } from "./statement.ts";
import { GO_ON, NEXT_RULE, type Outcome, type Walk } from "./walk.ts";

/** Equality of what fits into one word, as most comparisons are. */
export class CompareWord implements Operation {
  readonly #source: Source;
  readonly #mask: number;
  readonly #value: number;
  readonly #equal: boolean;

  constructor(source: Source, mask: number, value: number, equal: boolean) {
    this.#source = source;
    this.#mask = mask;
    this.#value = value >>> 0;
    this.#equal = equal;
  }

  run(walk: Walk): Outcome {
    if (!this.#source.load(walk, 0)) return NEXT_RULE;
    const masked = ((walk.registers[0] as number) & this.#mask) >>> 0;
    return (masked === this.#value) === this.#equal ? GO_ON : NEXT_RULE;
  }
}

/** Equality of several words, each under a mask. */
export class CompareWords implements Operation {
  readonly #source: Source;
  readonly #mask: Uint32Array;
  readonly #value: Uint32Array;
  readonly #equal: boolean;

  constructor(source: Source, mask: Uint32Array, value: Uint32Array, equal: boolean) {
    this.#source = source;
    this.#mask = mask;
    this.#value = value;
    this.#equal = equal;
  }

  run(walk: Walk): Outcome {
    if (!this.#source.load(walk, 0)) return NEXT_RULE;
    const { registers } = walk;
    let same = true;
    for (let i = 0; i < this.#value.length && same; i++) {
      const masked = ((registers[i] as number) & (this.#mask[i] as number)) >>> 0;
      same = masked === this.#value[i];
    }
    return same === this.#equal ? GO_ON : NEXT_RULE;
  }
}

/** The name of a device, or how it begins. */
export class CompareName implements Operation {
  readonly #source: DeviceNameSource;
  readonly #name: string;
  readonly #isPrefix: boolean;
  readonly #equal: boolean;

  constructor(source: DeviceNameSource, name: string, isPrefix: boolean, equal: boolean) {
    this.#source = source;
    this.#name = name;
    this.#isPrefix = isPrefix;
    this.#equal = equal;
  }

  run(walk: Walk): Outcome {
    const dev = this.#source.device(walk);
    const name = dev === undefined ? "" : dev.name;
    const same = this.#isPrefix ? name.startsWith(this.#name) : name === this.#name;
    return same === this.#equal ? GO_ON : NEXT_RULE;
  }
}

/** Order: `<`, `>` and ranges, of values of any number of words. */
export class CompareRange implements Operation {
  readonly #source: Source;
  readonly #from: Uint32Array;
  readonly #to: Uint32Array;
  readonly #inside: boolean;

  constructor(source: Source, from: Uint32Array, to: Uint32Array, inside: boolean) {
    this.#source = source;
    this.#from = from;
    this.#to = to;
    this.#inside = inside;
  }

  run(walk: Walk): Outcome {
    if (!this.#source.load(walk, 0)) return NEXT_RULE;
    const inside =
      compare(walk.registers, this.#from) >= 0 && compare(walk.registers, this.#to) <= 0;
    return inside === this.#inside ? GO_ON : NEXT_RULE;
  }
}

export class CompareOrder implements Operation {
  readonly #source: Source;
  readonly #operator: ComparisonOperator;
  readonly #value: Uint32Array;

  constructor(source: Source, operator: ComparisonOperator, value: Uint32Array) {
    this.#source = source;
    this.#operator = operator;
    this.#value = value;
  }

  run(walk: Walk): Outcome {
    if (!this.#source.load(walk, 0)) return NEXT_RULE;
    const order = compare(walk.registers, this.#value);
    return holds(this.#operator, order) ? GO_ON : NEXT_RULE;
  }
}

function holds(operator: ComparisonOperator, order: number): boolean {
  switch (operator) {
    case "<":
      return order < 0;
    case ">":
      return order > 0;
    case "<=":
      return order <= 0;
    default:
      return order >= 0;
  }
}

function compare(registers: Uint32Array, value: Uint32Array): number {
  for (let i = 0; i < value.length; i++) {
    const difference = (registers[i] as number) - (value[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether a set has the key (net/netfilter/nft_lookup.c). */
export class LookupOperation implements Operation {
  readonly #key: Source;
  readonly #set: SetAccess;
  readonly #within: boolean;

  constructor(key: Source, set: SetAccess, within: boolean) {
    this.#key = key;
    this.#set = set;
    this.#within = within;
  }

  run(walk: Walk): Outcome {
    if (!this.#key.load(walk, 0)) return NEXT_RULE;
    const element = this.#set.elements(walk)?.find(walk.registers, 0, walk.now);
    if (element !== undefined) {
      walk.netns.network.recording?.expires(element.expires);
      for (const statement of element.stateful) {
        if (!runStateful(walk, statement)) return NEXT_RULE;
      }
    }
    return (element !== undefined) === this.#within ? GO_ON : NEXT_RULE;
  }
}
