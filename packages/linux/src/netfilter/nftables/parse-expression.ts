import {
  type BinaryOperator,
  type Expression,
  FIB_FLAGS,
  type FibExpression,
  type FibFlag,
  type HashExpression,
  type NumgenExpression,
  type SetElement,
  type SetExpression,
  type SetReference,
  type SymbolExpression,
  type VerdictExpression,
} from "./expression.ts";
import { headerField, isProtocolName } from "./header-field.ts";
import { type Location, NftablesError } from "./nftables-error.ts";
import { isCtKey, isMetaKey, UNQUALIFIED_META_KEYS } from "./packet-key.ts";
import { isStatefulWord, parseStateful } from "./parse-stateful.ts";
import type { Counter, Limit, Quota } from "./statement.ts";
import { parseTime } from "./time.ts";
import type { TokenStream } from "./token-stream.ts";

/** Loosest first, as in parser_bison.y: or, xor, and, shift. */
const OPERATORS: readonly (readonly (readonly [spelling: string, BinaryOperator])[])[] = [
  [
    ["|", "|"],
    ["or", "|"],
  ],
  [
    ["^", "^"],
    ["xor", "^"],
  ],
  [
    ["&", "&"],
    ["and", "&"],
  ],
  [
    ["<<", "<<"],
    [">>", ">>"],
    ["lshift", "<<"],
    ["rshift", ">>"],
  ],
];

/** Deepest nesting of brackets, so that a hostile text cannot exhaust the stack. */
const MAX_DEPTH = 100;

/**
 * Something that is read off a packet, or computed from such: `ip saddr . tcp dport`,
 * `meta mark & 0xff`, `ip saddr map { … }`.
 */
export function parseExpression(tokens: TokenStream, depth = 0): Expression {
  const expression = parseConcat(tokens, (t) => parseBinary(t, 0, true, depth));
  if (!tokens.isWord("map") && !tokens.isWord("vmap")) return expression;
  const verdict = tokens.next().text === "vmap";
  return { kind: "map", key: expression, mappings: parseSetOrReference(tokens, depth), verdict };
}

/** What stands on the right of a comparison: names and numbers, with what they mean still open. */
export function parseOperand(tokens: TokenStream, depth = 0): Expression {
  if (tokens.isMark("{")) return parseSet(tokens, depth);
  if (tokens.isMark("@")) return parseSetReference(tokens);
  const items = [parseConcat(tokens, (t) => parseOperandRange(t, depth))];
  while (tokens.takeMark(",")) items.push(parseConcat(tokens, (t) => parseOperandRange(t, depth)));
  return items.length === 1 ? (items[0] as Expression) : { kind: "list", items };
}

export function parseSetOrReference(tokens: TokenStream, depth = 0): SetExpression | SetReference {
  return tokens.isMark("@") ? parseSetReference(tokens) : parseSet(tokens, depth);
}

function parseSetReference(tokens: TokenStream): SetReference {
  tokens.expectMark("@");
  const { text, ...location } = tokens.name();
  return { kind: "setRef", name: text, location, set: undefined };
}

/** `{ … }`. */
export function parseSet(tokens: TokenStream, depth = 0): SetExpression {
  const start = tokens.expectMark("{");
  const elements: SetElement[] = [];
  for (;;) {
    tokens.skipNewlines();
    if (tokens.isMark("}")) break;
    elements.push(parseElement(tokens, depth + 1));
    tokens.skipNewlines();
    if (!tokens.takeMark(",")) break;
  }
  tokens.skipNewlines();
  const end = tokens.expectMark("}");
  const lastColumn = end.line === start.line ? end.lastColumn : start.lastColumn;
  return { kind: "set", elements, location: { ...start, lastColumn } };
}

function parseElement(tokens: TokenStream, depth: number): SetElement {
  if (depth > MAX_DEPTH) throw new NftablesError(tokens.peek(), "too many levels of brackets");
  const location = tokens.peek();
  const key = tokens.takeWord("*")
    ? undefined
    : parseConcat(tokens, (t) => parseOperandRange(t, depth));
  let timeoutMs: number | undefined;
  let expiresMs: number | undefined;
  let comment: string | undefined;
  const stateful: (Counter | Limit | Quota)[] = [];
  for (;;) {
    if (tokens.takeWord("timeout")) timeoutMs = parseDuration(tokens);
    else if (tokens.takeWord("expires")) expiresMs = parseDuration(tokens);
    else if (tokens.takeWord("comment")) comment = tokens.string();
    else if (isStatefulWord(tokens)) stateful.push(parseStateful(tokens));
    else break;
  }
  let data: Expression | undefined;
  if (tokens.takeMark(":")) {
    tokens.skipNewlines();
    data = parseVerdict(tokens) ?? parseConcat(tokens, (t) => parseOperandRange(t, depth));
  }
  const { line, column, lastColumn } = location;
  return {
    key,
    data,
    timeoutMs,
    expiresMs,
    comment,
    stateful,
    location: { line, column, lastColumn },
  };
}

export function parseDuration(tokens: TokenStream): number {
  const token = tokens.name();
  const ms = parseTime(token.text);
  if (ms === undefined) throw new NftablesError(token, "wrong time format");
  return ms;
}

/** `accept`, `jump CHAIN` …, if one is next. */
export function parseVerdict(tokens: TokenStream): VerdictExpression | undefined {
  const location = tokens.peek();
  const verdict = tokens.takeOneOf(["accept", "drop", "continue", "return", "jump", "goto"]);
  if (verdict === undefined) return undefined;
  if (verdict !== "jump" && verdict !== "goto") {
    return { kind: "verdict", verdict, chain: undefined, location };
  }
  const chain = tokens.name();
  return { kind: "verdict", verdict, chain: chain.text, location: chain };
}

function parseConcat(tokens: TokenStream, part: (tokens: TokenStream) => Expression): Expression {
  const first = part(tokens);
  if (!tokens.isMark(".")) return first;
  const parts = [first];
  while (tokens.takeMark(".")) {
    tokens.skipNewlines();
    parts.push(part(tokens));
  }
  return { kind: "concat", parts };
}

/** `A`, `A-B` or `A/LENGTH`. */
function parseOperandRange(tokens: TokenStream, depth: number): Expression {
  const from = parseBinary(tokens, 0, false, depth);
  if (tokens.takeMark("-"))
    return { kind: "range", from, to: parseBinary(tokens, 0, false, depth) };
  // What follows the slash of `tcp flags syn / syn,ack` is a name.
  if (tokens.isMark("/") && /^[0-9]+$/.test(tokens.peek(1).text)) {
    const location = tokens.next();
    return { kind: "prefix", base: from, length: tokens.number(), location };
  }
  return from;
}

function parseBinary(
  tokens: TokenStream,
  level: number,
  fields: boolean,
  depth: number,
): Expression {
  const operators = OPERATORS[level];
  if (operators === undefined) return parsePrimary(tokens, fields, depth);
  let left = parseBinary(tokens, level + 1, fields, depth);
  for (;;) {
    const token = tokens.peek();
    const found = operators.find(([spelling]) => spelling === token.text);
    if (found === undefined || token.kind === "string") return left;
    tokens.next();
    // The right side is a constant in most rules; a field is allowed where fields are.
    left = {
      kind: "binary",
      operator: found[1],
      left,
      right: parseBinary(tokens, level + 1, fields, depth),
    };
  }
}

function parsePrimary(tokens: TokenStream, fields: boolean, depth: number): Expression {
  if (depth > MAX_DEPTH) throw new NftablesError(tokens.peek(), "too many levels of brackets");
  if (tokens.takeMark("(")) {
    const inner = fields
      ? parseBinary(tokens, 0, true, depth + 1)
      : parseOperand(tokens, depth + 1);
    tokens.expectMark(")");
    return inner;
  }
  return (fields ? parseField(tokens) : undefined) ?? parseSymbol(tokens);
}

function parseSymbol(tokens: TokenStream): SymbolExpression {
  const token = tokens.peek();
  if (token.kind !== "word" && token.kind !== "string") throw tokens.unexpected();
  tokens.next();
  const { line, column } = token;
  let { text, lastColumn } = token;
  // `1:10`, a handle of traffic control: nothing between word and colon, nor behind it.
  const colon = tokens.peek();
  const minor = tokens.peek(1);
  if (
    /^[0-9a-f]{1,4}$/.test(text) &&
    tokens.isMark(":") &&
    colon.column === lastColumn + 1 &&
    minor.column === lastColumn + 2 &&
    /^[0-9a-f]{1,4}$/.test(minor.text)
  ) {
    tokens.next();
    tokens.next();
    text = `${text}:${minor.text}`;
    lastColumn = minor.lastColumn;
  }
  const location = { line, column, lastColumn };
  return { kind: "symbol", text, quoted: token.kind === "string", location };
}

/** Something read off the packet, if the next words say so. */
function parseField(tokens: TokenStream): Expression | undefined {
  const token = tokens.peek();
  if (token.kind !== "word") return undefined;
  switch (token.text) {
    case "meta":
      return parseMeta(tokens);
    case "ct":
      return parseCt(tokens);
    case "fib":
      return parseFib(tokens);
    case "numgen":
      return parseNumgen(tokens);
    case "jhash":
    case "symhash":
      return parseHash(tokens);
  }
  if (UNQUALIFIED_META_KEYS.has(token.text) && isMetaKey(token.text)) {
    tokens.next();
    return { kind: "meta", key: token.text };
  }
  return isProtocolName(token.text) ? parsePayload(tokens) : undefined;
}

function parsePayload(tokens: TokenStream): Expression | undefined {
  const protocol = tokens.peek().text;
  const next = tokens.peek(1);
  if (!isProtocolName(protocol) || next.kind !== "word") return undefined;
  // ARP's addresses are named by two words.
  const name =
    protocol === "arp" && next.text.endsWith("addr")
      ? `${next.text} ${tokens.peek(2).text}`
      : next.text;
  const field = headerField(protocol, name);
  if (field === undefined) return undefined;
  tokens.next();
  for (const _word of name.split(" ")) tokens.next();
  return { kind: "payload", field };
}

function parseMeta(tokens: TokenStream): Expression {
  tokens.next();
  const key = tokens.name();
  if (!isMetaKey(key.text)) throw new NftablesError(key, `unknown meta key ${key.text}`);
  return { kind: "meta", key: key.text };
}

function parseCt(tokens: TokenStream): Expression {
  tokens.next();
  const direction = tokens.takeOneOf(["original", "reply"]);
  const word = tokens.name();
  const twoWords = word.text === "ip" || word.text === "ip6";
  const key = twoWords ? `${word.text} ${tokens.name().text}` : word.text;
  if (isCtKey(key)) return { kind: "ct", key, direction };
  // `ct original saddr`: the table's family says which kind of address.
  if (key === "saddr" || key === "daddr") return { kind: "ct", key: `ip ${key}`, direction };
  throw new NftablesError(word, `unknown ct key ${key}`);
}

function parseFib(tokens: TokenStream): FibExpression {
  const start = tokens.next();
  const said = new Set<FibFlag>();
  do {
    const flag = tokens.takeOneOf(FIB_FLAGS);
    if (flag === undefined) throw tokens.unexpected();
    said.add(flag);
  } while (tokens.takeMark("."));
  const result = tokens.takeOneOf(["type", "oif", "oifname"] as const);
  if (result === undefined) throw tokens.unexpected();
  checkFibFlags(said, start);
  const flags = FIB_FLAGS.filter((flag) => said.has(flag));
  return { kind: "fib", flags, result, presence: false };
}

function checkFibFlags(flags: ReadonlySet<FibFlag>, location: Location): void {
  if (flags.has("saddr") === flags.has("daddr")) {
    throw new NftablesError(
      location,
      flags.has("saddr")
        ? "fib: saddr and daddr are mutually exclusive"
        : "fib: need either saddr or daddr",
    );
  }
  if (flags.has("iif") && flags.has("oif")) {
    throw new NftablesError(location, "fib: iif and oif are mutually exclusive");
  }
}

function parseNumgen(tokens: TokenStream): NumgenExpression {
  tokens.next();
  const mode = tokens.takeOneOf(["inc", "random"] as const);
  if (mode === undefined) throw tokens.unexpected();
  const { modulus, offset } = parseModulus(tokens, false);
  return { kind: "numgen", mode, modulus, offset };
}

function parseHash(tokens: TokenStream): HashExpression {
  const keyed = tokens.next().text === "jhash";
  const of = keyed ? parseConcat(tokens, (t) => parseBinary(t, 0, true, 0)) : undefined;
  return { kind: "hash", of, ...parseModulus(tokens, keyed) };
}

/** `mod M [seed S] [offset O]`. */
function parseModulus(
  tokens: TokenStream,
  seeded: boolean,
): { modulus: number; seed: number | undefined; offset: number } {
  tokens.expectWord("mod");
  const at = tokens.peek();
  const modulus = tokens.number();
  if (modulus === 0 || modulus > 0xffffffff) throw new NftablesError(at, "modulus out of range");
  const seed = seeded && tokens.takeWord("seed") ? tokens.number() : undefined;
  const offset = tokens.takeWord("offset") ? tokens.number() : 0;
  return { modulus, seed, offset };
}
