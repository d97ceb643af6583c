import { sourceOf, wordsOfOperand } from "./compile-source.ts";
import { SetAccess } from "./computed-source.ts";
import { valueToName } from "./data-type.ts";
import { typeOf } from "./evaluate-expression.ts";
import type { Expression } from "./expression.ts";
import { wordsOf, writeWords } from "./key-words.ts";
import {
  CompareName,
  CompareOrder,
  CompareRange,
  CompareWord,
  CompareWords,
  LookupOperation,
} from "./match-operation.ts";
import { DeviceNameSource } from "./meta-source.ts";
import type { NftSet } from "./nft-set.ts";
import type { Operation } from "./operation.ts";
import {
  NatOperation,
  NotrackOperation,
  QueueOperation,
  RejectOperation,
  SetFieldOperation,
  SetMarkOperation,
  SetUpdateOperation,
  VerdictMapOperation,
  VerdictOperation,
} from "./operations.ts";
import { ConcatSource, type Source } from "./source.ts";
import { ConnectionLimitOperation, StatefulOperation } from "./stateful-operation.ts";
import type { Mangle, Match, Nat, Statement } from "./statement.ts";
import type { NftChain, NftRule, Table } from "./table.ts";

/** A rule as packets meet it. */
export interface RulePlan {
  readonly rule: NftRule;
  readonly operations: readonly Operation[];
}

/** The rules of a chain as packets meet them. */
export type ChainPlan = readonly RulePlan[];

/** Compiles a chain. It knows other chains and sets by number, so all tables of a layer can share it. */
export function compileChain(chain: NftChain, table: Table): ChainPlan {
  return chain.rules.map((rule) => ({
    rule,
    operations: rule.statements
      .map((statement) => compileStatement(statement, table))
      .filter((operation) => operation !== undefined),
  }));
}

/** `undefined` for what does nothing to packets: logs. */
function compileStatement(statement: Statement, table: Table): Operation | undefined {
  const source = (expression: Expression): Source => sourceOf(expression, table);
  switch (statement.kind) {
    case "match":
      return compileMatch(statement, table);
    case "verdict": {
      const { verdict, chain } = statement.verdict;
      return new VerdictOperation(verdict, chain === undefined ? -1 : table.chains.number(chain));
    }
    case "vmap": {
      const { map } = statement;
      if (map.kind !== "map" || map.mappings.kind !== "setRef") return undefined;
      return new VerdictMapOperation(source(map.key), accessTo(map.mappings.set as NftSet, table));
    }
    case "counter":
    case "limit":
    case "quota":
      return new StatefulOperation(statement);
    case "ctCount":
      return new ConnectionLimitOperation(statement);
    case "object": {
      const object = table.objects.get(statement.name)?.object;
      return object && new StatefulOperation(object);
    }
    case "log":
      return undefined;
    case "reject":
      return new RejectOperation(statement.type, constantOf(statement.code));
    case "nat":
      return compileNat(statement, source);
    case "mangle":
      return compileMangle(statement, source);
    case "notrack":
      return new NotrackOperation();
    case "queue":
      return new QueueOperation(statement.bypass);
    case "setUpdate": {
      const number = table.sets.number(statement.set.name);
      const data = statement.data && source(statement.data);
      return new SetUpdateOperation(statement, number, source(statement.key), data);
    }
  }
}

export function accessTo(set: NftSet, table: Table): SetAccess {
  return new SetAccess(set, set.options.anonymous ? -1 : table.sets.number(set.name));
}

function constantOf(expression: Expression | undefined): number {
  return expression?.kind === "value" ? Number(expression.value) : 0;
}

function compileMatch(match: Match, table: Table): Operation {
  const { left, right, operator } = match;
  const equal = operator !== "!=";
  const source = sourceOf(left, table);
  if (right.kind === "setRef") {
    return new LookupOperation(source, accessTo(right.set as NftSet, table), equal);
  }
  const { bits } = typeOf(left);
  if (right.kind === "range") {
    const from = wordsOfOperand(right.from, bits);
    return new CompareRange(source, from, wordsOfOperand(right.to, bits), equal);
  }
  if (source instanceof DeviceNameSource && left.kind === "meta") {
    const name = nameOf(right);
    if (name !== undefined) return new CompareName(source, name.name, name.isPrefix, equal);
  }
  if (right.kind === "prefix") {
    return compareMasked(
      source,
      prefixMask(right.length, bits),
      wordsOfOperand(right.base, bits),
      equal,
    );
  }
  const value = wordsOfOperand(right, bits);
  if (operator === "<" || operator === ">" || operator === "<=" || operator === ">=") {
    return new CompareOrder(source, operator, value);
  }
  if (match.mask !== undefined) {
    return compareMasked(source, wordsOfOperand(match.mask, bits), value, equal);
  }
  const isMask = right.kind === "value" && right.type.bitmask && left.kind !== "binary";
  if (isMask && (operator === "" || operator === "!")) {
    // Any of the bits, or none of them.
    return compareMasked(source, value, new Uint32Array(value.length), operator === "!");
  }
  return compareMasked(source, new Uint32Array(value.length).fill(0xffffffff), value, equal);
}

function nameOf(right: Expression): { name: string; isPrefix: boolean } | undefined {
  if (right.kind === "value") return { name: valueToName(right.value), isPrefix: false };
  if (right.kind !== "prefix" || right.base.kind !== "value") return undefined;
  return { name: valueToName(right.base.value), isPrefix: true };
}

function compareMasked(
  source: Source,
  mask: Uint32Array,
  value: Uint32Array,
  equal: boolean,
): Operation {
  if (value.length > 1) return new CompareWords(source, mask, value, equal);
  return new CompareWord(source, mask[0] as number, value[0] as number, equal);
}

function prefixMask(length: number, bits: number): Uint32Array {
  const mask = new Uint32Array(wordsOf(bits));
  const host = BigInt(bits - length);
  writeWords((((1n << BigInt(bits)) - 1n) >> host) << host, bits, mask, 0);
  return mask;
}

function compileMangle({ target, value }: Mangle, source: (e: Expression) => Source): Operation {
  const from = source(value);
  if (target.kind === "payload") return new SetFieldOperation(target.field, from);
  if (target.kind === "ct") return new SetMarkOperation("ct mark", from);
  return new SetMarkOperation(target.key as "mark" | "priority" | "pkttype", from);
}

function compileNat(nat: Nat, source: (e: Expression) => Source): Operation {
  return new NatOperation({
    kind: nat.nat,
    address: nat.address && natSource(nat.address, source),
    port: nat.port && natSource(nat.port, source),
    addressAndPort: nat.addressAndPort,
    prefix: nat.prefix,
    random: nat.flags.includes("random"),
    fullyRandom: nat.flags.includes("fully-random"),
    persistent: nat.flags.includes("persistent"),
  });
}

/** First and last value of a range, behind one another; of a network as well. */
function natSource(expression: Expression, source: (e: Expression) => Source): Source {
  if (expression.kind === "range") {
    return new ConcatSource([source(expression.from), source(expression.to)]);
  }
  if (expression.kind === "prefix" && expression.base.kind === "value") {
    const { base, length } = expression;
    const { value, bits } = base;
    const last = value | ((1n << BigInt(bits - length)) - 1n);
    return new ConcatSource([source(base), source({ ...base, value: last })]);
  }
  return source(expression);
}
