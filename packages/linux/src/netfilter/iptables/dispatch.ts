import type { IpAddress } from "@cnilab/net";
import type { HeaderMatch } from "./header-match.ts";
import { isHostTest } from "./header-match.ts";
import type { Rule, RuleEntry } from "./rule.ts";
import type { Walk } from "./walk.ts";

/** Shorter chains are faster walked than looked up. */
const MIN_RULES = 8;

/** Positions of rules, in order. */
type Positions = readonly number[];
const NONE: Positions = [];

/** A field of packets by which rules can be looked up. */
type Field = "dst" | "src" | "dstPort" | "in" | "out";
const FIELDS: readonly Field[] = ["dst", "src", "dstPort", "in", "out"];
type Key = IpAddress | number | string;

/**
 * Finds the rules of a long chain that can match a packet: most demand one value of one field, which
 * is looked up; the others are always tried. A rule that is left out would not have matched and its
 * matches would have left no trace, so the outcome is that of asking each rule in turn.
 */
export class Dispatch {
  readonly #field: Field;
  readonly #byKey: ReadonlyMap<Key, Positions>;
  /** Rules that do not demand one value of the field. */
  readonly others: Positions;

  private constructor(field: Field, byKey: ReadonlyMap<Key, Positions>, others: Positions) {
    this.#field = field;
    this.#byKey = byKey;
    this.others = others;
  }

  /** `undefined` where it would not pay. */
  static of(entries: readonly RuleEntry[]): Dispatch | undefined {
    if (entries.length < MIN_RULES) return undefined;
    const fields = FIELDS.map((field) => new FieldIndex(field, entries));
    const best = fields.reduce((x, y) => (y.byKey.size > x.byKey.size ? y : x));
    if (best.byKey.size < MIN_RULES / 2) return undefined;
    return new Dispatch(best.field, best.byKey, best.others);
  }

  /** Positions of the rules that demand what the packet has. */
  candidates(walk: Walk): Positions {
    return this.#byKey.get(this.#keyOf(walk)) ?? NONE;
  }

  #keyOf(walk: Walk): Key {
    switch (this.#field) {
      case "dst":
        return walk.packet.dst;
      case "src":
        return walk.packet.src;
      case "dstPort":
        return portKey(walk.packet.protocol, walk.dstPort);
      case "in":
        return walk.in;
      case "out":
        return walk.out;
    }
  }
}

/** The rules of a chain by what they demand of one field. */
class FieldIndex {
  readonly field: Field;
  readonly byKey: Map<Key, number[]> = new Map();
  readonly others: number[] = [];

  constructor(field: Field, entries: readonly RuleEntry[]) {
    this.field = field;
    entries.forEach(({ rule }, position) => {
      const keys = demanded(rule, field);
      if (keys === undefined) this.others.push(position);
      else for (const key of new Set(keys)) this.#add(key, position);
    });
  }

  #add(key: Key, position: number): void {
    const positions = this.byKey.get(key);
    if (positions === undefined) this.byKey.set(key, [position]);
    else positions.push(position);
  }
}

/** The values of a field besides which the rule never matches; `undefined` for any. */
function demanded(rule: Rule, field: Field): readonly Key[] | undefined {
  const { header } = rule;
  switch (field) {
    case "dst":
    case "src":
      return addressKeys(header, field);
    case "in":
    case "out": {
      const test = header[field];
      return test === undefined || test.inverted || test.isPrefix ? undefined : [test.name];
    }
    case "dstPort":
      return portKeys(rule);
  }
}

function addressKeys(header: HeaderMatch, field: "dst" | "src"): readonly Key[] | undefined {
  const test = header[field];
  return test !== undefined && isHostTest(test) ? [test.address] : undefined;
}

/** Ports of the first match that names any; one that leaves traces must not be skipped before it. */
function portKeys(rule: Rule): readonly Key[] | undefined {
  if (rule.protocol === 0) return undefined;
  for (const match of rule.matches) {
    if (!match.pure) return undefined;
    if (match.dstPorts !== undefined)
      return match.dstPorts.map((port) => portKey(rule.protocol, port));
  }
  return undefined;
}

function portKey(protocol: number, port: number): number {
  return protocol * 0x10000 + port;
}
