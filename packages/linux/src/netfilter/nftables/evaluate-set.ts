import { DATA_TYPES } from "./data-type.ts";
import {
  type EvaluationScope,
  evaluateOperand,
  locationOf,
  partsOf,
} from "./evaluate-expression.ts";
import type { Expression, SetElement } from "./expression.ts";
import { isName, type KeyPart, wordsOf, writeWords } from "./key-words.ts";
import type { NftSet } from "./nft-set.ts";
import { type Location, NftablesError } from "./nftables-error.ts";
import type { ElementKey, StoredElement } from "./set-elements.ts";

/** The values that an element's key stands for. */
export function evaluateKey(
  key: Expression,
  parts: readonly KeyPart[],
  scope: EvaluationScope,
): ElementKey {
  const written = partsOf(key);
  if (written.length !== parts.length) {
    const expected = describeKey(parts);
    throw new NftablesError(
      locationOf(key),
      written.length > 1 && parts.length === 1
        ? `unexpected concat component, expecting ${expected}`
        : `datatype mismatch, expected ${expected}`,
    );
  }
  const from: bigint[] = [];
  const to: bigint[] = [];
  written.forEach((expression, i) => {
    const [low, high] = bounds(evaluateOperand(expression, parts[i] as KeyPart, scope));
    from.push(low);
    to.push(high);
  });
  return { from, to };
}

function describeKey(parts: readonly KeyPart[]): string {
  const names = parts.map(({ type }) => type.name);
  return names.length === 1 ? (names[0] as string) : `concatenation of (${names.join(", ")})`;
}

function bounds(expression: Expression): readonly [bigint, bigint] {
  switch (expression.kind) {
    case "value":
      return [expression.value, expression.value];
    case "prefix": {
      const { value, bits } = expression.base as Expression & { kind: "value" };
      return [value, value | ((1n << BigInt(bits - expression.length)) - 1n)];
    }
    case "range":
      return [bounds(expression.from)[0], bounds(expression.to)[1]];
    default:
      throw new NftablesError(locationOf(expression), "set elements must be constants");
  }
}

export function isInterval(key: ElementKey): boolean {
  return key.from.some((from, i) => from !== key.to[i]);
}

/** How a key of values and intervals is written: values, prefixes where possible, else ranges. */
export function keyExpression(key: ElementKey, parts: readonly KeyPart[]): Expression {
  const written = parts.map((part, i) =>
    intervalExpression(key.from[i] as bigint, key.to[i] as bigint, part),
  );
  return written.length === 1 ? (written[0] as Expression) : { kind: "concat", parts: written };
}

/** Only of these a range that is one is listed as a prefix (`DTYPE_F_PREFIX`). */
const PREFIX_TYPES: ReadonlySet<unknown> = new Set([
  DATA_TYPES.ipv4_addr,
  DATA_TYPES.ipv6_addr,
  DATA_TYPES.mark,
  DATA_TYPES.ifname,
]);

export function intervalExpression(from: bigint, to: bigint, { type, bits }: KeyPart): Expression {
  const low: Expression = { kind: "value", type, value: from, bits };
  if (from === to) return low;
  const size = to - from + 1n;
  if (PREFIX_TYPES.has(type) && (size & (size - 1n)) === 0n && from % size === 0n) {
    return { kind: "prefix", base: low, length: bits - (size.toString(2).length - 1) };
  }
  return { kind: "range", from: low, to: { ...low, value: to } };
}

/** An element of a set or map as it is stored. */
export function evaluateElement(
  element: SetElement,
  set: NftSet,
  scope: EvaluationScope,
  now: number,
): StoredElement {
  const { options } = set;
  const key = element.key === undefined ? undefined : evaluateKey(element.key, options.key, scope);
  if (key !== undefined && !options.interval && isInterval(key)) {
    throw new NftablesError(
      element.location,
      "You must add 'flags interval' to your set declaration if you want to add intervals",
    );
  }
  if (element.timeoutMs !== undefined && !options.timeout) {
    throw new NftablesError(element.location, "Could not process rule: Invalid argument");
  }
  const data = evaluateData(element, set, scope);
  const timeoutMs = element.timeoutMs ?? options.timeoutMs;
  const lives = element.expiresMs ?? timeoutMs;
  return {
    key,
    data,
    dataWords:
      data === undefined || data.kind === "verdict"
        ? undefined
        : dataWords(data, options.dataInterval),
    verdict: data?.kind === "verdict" ? data : undefined,
    target:
      data?.kind === "verdict" && data.chain !== undefined ? scope.chainNumber(data.chain) : -1,
    timeoutMs,
    expires: lives === undefined ? Number.POSITIVE_INFINITY : now + lives,
    comment: element.comment,
    stateful: element.stateful.length > 0 ? element.stateful : options.stateful,
  };
}

function evaluateData(
  element: SetElement,
  set: NftSet,
  scope: EvaluationScope,
): Expression | undefined {
  const { isMap, verdicts, objects, data: parts } = set.options;
  const { data, location } = element;
  if (!isMap) {
    if (data !== undefined) throw new NftablesError(location, "Set is not a map");
    return undefined;
  }
  if (data === undefined) throw new NftablesError(location, "Map expects a value of each element");
  if (objects !== undefined) return data;
  if (verdicts !== (data.kind === "verdict")) {
    throw new NftablesError(
      location,
      verdicts ? "Map expects verdicts" : "Map does not expect verdicts",
    );
  }
  if (data.kind === "verdict") return data;
  const written = partsOf(data);
  const expected = parts as readonly KeyPart[];
  if (written.length !== expected.length) {
    throw new NftablesError(location, `datatype mismatch, expected ${describeKey(expected)}`);
  }
  const values = written.map((part, i) => evaluateOperand(part, expected[i] as KeyPart, scope));
  return values.length === 1 ? values[0] : { kind: "concat", parts: values };
}

/** A map's value as words; in a map of ranges the first and then the last value. */
function dataWords(data: Expression, interval: boolean): Uint32Array {
  const parts = partsOf(data);
  const from = parts.map((part) => (part.kind === "symbol" ? 0n : bounds(part)[0]));
  const to = parts.map((part) => (part.kind === "symbol" ? 0n : bounds(part)[1]));
  const bits = parts.map(bitsOf);
  const size = bits.reduce((sum, b) => sum + wordsOf(b), 0);
  const words = new Uint32Array(interval ? size * 2 : size);
  let at = 0;
  for (const values of interval ? [from, to] : [from]) {
    values.forEach((value, i) => {
      writeWords(value, bits[i] as number, words, at);
      at += wordsOf(bits[i] as number);
    });
  }
  return words;
}

function bitsOf(expression: Expression): number {
  switch (expression.kind) {
    case "value":
      return expression.bits;
    case "prefix":
      return bitsOf(expression.base);
    case "range":
      return bitsOf(expression.from);
    default:
      return 0;
  }
}

/** Puts elements into a set, as one command does. @throws NftablesError; then some are in it */
export function addElements(
  set: NftSet,
  into: NftSet["elements"],
  elements: readonly StoredElement[],
  locations: readonly Location[],
  mustBeNew: boolean,
): void {
  const merges = set.options.autoMerge || set.options.anonymous;
  elements.forEach((element, i) => {
    const location = locations[i] as Location;
    if (element.key !== undefined && into.interval) {
      const others = into.overlapping(element.key);
      if (others.length > 0 && into.parts.length === 1 && merges && !set.options.isMap) {
        putMerged(into, element);
        return;
      }
      if (others.length > 0 && into.parts.length === 1) {
        throw new NftablesError(location, "conflicting intervals specified");
      }
    }
    const there = into.get(element.key);
    if (there !== undefined && (mustBeNew || !sameData(there, element))) {
      throw new NftablesError(location, "Could not process rule: File exists");
    }
    if (there === undefined) into.put(element);
  });
  if (merges && into.interval && into.parts.length === 1 && !set.options.isMap)
    mergeNeighbours(into);
  const { size } = set.options;
  if (size !== undefined && into.size > size) {
    throw new NftablesError(
      locations[0] as Location,
      "Could not process rule: Too many open files in system",
    );
  }
}

function sameData(x: StoredElement, y: StoredElement): boolean {
  if (x.verdict !== undefined || y.verdict !== undefined) {
    return x.verdict?.verdict === y.verdict?.verdict && x.verdict?.chain === y.verdict?.chain;
  }
  const a = x.dataWords;
  const b = y.dataWords;
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

function putMerged(into: NftSet["elements"], element: StoredElement): void {
  let { from, to } = element.key as ElementKey;
  for (const other of into.overlapping(element.key as ElementKey)) {
    const key = other.key as ElementKey;
    into.delete(key);
    if ((key.from[0] as bigint) < (from[0] as bigint)) from = key.from;
    if ((key.to[0] as bigint) > (to[0] as bigint)) to = key.to;
  }
  into.put({ ...element, key: { from, to } });
}

/** `1-3, 4-6` becomes `1-6`. */
function mergeNeighbours(into: NftSet["elements"]): void {
  let last: StoredElement | undefined;
  if (isName((into.parts[0] as KeyPart).type)) return;
  for (const element of into.sorted()) {
    const key = element.key;
    if (key === undefined) continue;
    if (last?.key !== undefined && (last.key.to[0] as bigint) + 1n === key.from[0]) {
      into.delete(last.key);
      into.delete(key);
      last = { ...last, key: { from: last.key.from, to: key.to } };
      into.put(last);
    } else last = element;
  }
}
