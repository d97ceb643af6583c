import {
  BinarySource,
  FlowSource,
  HashSource,
  MapSource,
  NumgenSource,
  SetAccess,
} from "./computed-source.ts";
import { CtSource } from "./ct-source.ts";
import { partsOf, typeOf } from "./evaluate-expression.ts";
import type { Expression, HashExpression, MapExpression } from "./expression.ts";
import { FibSource } from "./fib-source.ts";
import { type HeaderField, headerField } from "./header-field.ts";
import { wordsOf, wordsOfKey, writeWords } from "./key-words.ts";
import { metaSource } from "./meta-source.ts";
import type { NftSet } from "./nft-set.ts";
import { ConcatSource, ConstantSource, payloadSource, type Source } from "./source.ts";
import type { Table } from "./table.ts";

/** What is not modelled is never there: such a rule does not match. */
class AbsentSource implements Source {
  readonly words: number;

  constructor(words: number) {
    this.words = words;
  }

  load(): boolean {
    return false;
  }
}

/** What an expression reads or computes for each packet. */
export function sourceOf(expression: Expression, table: Table): Source {
  switch (expression.kind) {
    case "value":
      return new ConstantSource(wordsOfOperand(expression, expression.bits));
    case "payload":
      return payloadSource(expression.field) ?? new AbsentSource(wordsOf(expression.field.bits));
    case "meta":
      return metaSource(expression.key) ?? new AbsentSource(wordsOf(typeOf(expression).bits));
    case "ct":
      return new CtSource(expression.key, expression.direction);
    case "fib":
      return new FibSource(expression);
    case "numgen":
      return new NumgenSource(expression);
    case "hash":
      return hashSource(expression, table);
    case "binary": {
      const { bits } = typeOf(expression.left);
      const right = wordsOfOperand(expression.right, bits);
      return new BinarySource(expression.operator, sourceOf(expression.left, table), right);
    }
    case "concat":
      return new ConcatSource(partsOf(expression).map((part) => sourceOf(part, table)));
    case "map":
      return mapSource(expression, table);
    default:
      return new AbsentSource(1);
  }
}

function hashSource({ of, modulus, seed, offset }: HashExpression, table: Table): Source {
  const source = of === undefined ? flowSource() : sourceOf(of, table);
  return new HashSource(source, modulus, seed ?? 0, offset);
}

function flowSource(): Source {
  const source = (protocol: "ip" | "udp", name: string): Source =>
    payloadSource(headerField(protocol, name) as HeaderField) ?? new AbsentSource(1);
  return new FlowSource(
    source("ip", "saddr"),
    source("ip", "daddr"),
    source("udp", "sport"),
    source("udp", "dport"),
  );
}

function mapSource(expression: MapExpression, table: Table): Source {
  const { key, mappings } = expression;
  if (mappings.kind !== "setRef") return new AbsentSource(1);
  const set = mappings.set as NftSet;
  const number = set.options.anonymous ? -1 : table.sets.number(set.name);
  const data = wordsOfKey(set.options.data ?? []);
  const words = set.options.dataInterval ? 2 * data : data;
  return new MapSource(sourceOf(key, table), new SetAccess(set, number), words);
}

/** A constant in the words of a value of `bits` bits. */
export function wordsOfOperand(operand: Expression, bits: number): Uint32Array {
  const words = new Uint32Array(wordsOf(bits));
  if (operand.kind === "value") writeWords(operand.value, bits, words, 0);
  return words;
}
