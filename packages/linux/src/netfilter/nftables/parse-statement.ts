import type { RuleSpec } from "./command.ts";
import type { Expression } from "./expression.ts";
import { type Location, NftablesError } from "./nftables-error.ts";
import {
  parseDuration,
  parseExpression,
  parseOperand,
  parseSetOrReference,
  parseVerdict,
} from "./parse-expression.ts";
import { isStatefulWord, parseStateful } from "./parse-stateful.ts";
import {
  type ComparisonOperator,
  type Counter,
  type Limit,
  type Log,
  NAT_FLAGS,
  type Nat,
  type NatKind,
  type ObjectReference,
  type ObjectType,
  type Queue,
  type Quota,
  type Reject,
  type SetUpdate,
  type Statement,
} from "./statement.ts";
import type { TokenStream } from "./token-stream.ts";

const COMPARISONS: readonly (readonly [spelling: string, ComparisonOperator])[] = [
  ["==", "=="],
  ["!=", "!="],
  ["<", "<"],
  [">", ">"],
  ["<=", "<="],
  [">=", ">="],
  ["!", "!"],
  ["eq", "=="],
  ["ne", "!="],
  ["lt", "<"],
  ["gt", ">"],
  ["le", "<="],
  ["ge", ">="],
  ["not", "!"],
];

/** The statements of a rule up to the end of the line. */
export function parseRule(tokens: TokenStream): RuleSpec {
  const start = tokens.peek();
  const statements: Statement[] = [];
  let comment: string | undefined;
  while (!atEndOfRule(tokens)) {
    if (tokens.takeWord("comment")) {
      const at = tokens.peek();
      comment = tokens.string();
      if (comment.length > MAX_COMMENT)
        throw new NftablesError(at, "comment too long, 128 characters maximum allowed");
      break;
    }
    const { line, column, lastColumn } = tokens.peek();
    if (statements.some(isTerminal)) {
      throw new NftablesError(
        { line, column, lastColumn },
        "Statement after terminal statement has no effect",
      );
    }
    statements.push(parseStatement(tokens));
  }
  if (statements.length === 0) throw tokens.unexpected();
  return { statements, comment, location: tokens.locationFrom(start) };
}

/** Whether nothing behind it would ever run. */
function isTerminal(statement: Statement): boolean {
  if (statement.kind === "verdict") return statement.verdict.verdict !== "continue";
  return statement.kind === "reject" || statement.kind === "nat" || statement.kind === "queue";
}

/** NFTNL_UDATA_COMMENT_MAXLEN of libnftnl. */
export const MAX_COMMENT = 128;

function atEndOfRule(tokens: TokenStream): boolean {
  const { kind } = tokens.peek();
  return kind === "end" || kind === "newline" || tokens.isMark(";") || tokens.isMark("}");
}

function parseStatement(tokens: TokenStream): Statement {
  const location = tokens.peek();
  const verdict = parseVerdict(tokens);
  if (verdict !== undefined) return { kind: "verdict", verdict };
  if (isStatefulWord(tokens)) return parseStateful(tokens);
  if (location.kind !== "word") return parseMatch(tokens);
  switch (location.text) {
    case "counter":
    case "limit":
    case "quota":
      return parseObjectReference(tokens);
    case "log":
      return parseLog(tokens);
    case "reject":
      return parseReject(tokens);
    case "snat":
    case "dnat":
    case "masquerade":
    case "redirect":
      return parseNat(tokens);
    case "ct":
      if (!tokens.isWord("count", 1)) return parseMatch(tokens);
      tokens.next();
      tokens.next();
      return {
        kind: "ctCount",
        over: tokens.takeOneOf(["over"]) !== undefined,
        count: tokens.number(),
      };
    case "notrack":
      tokens.next();
      return { kind: "notrack" };
    case "queue":
      return parseQueue(tokens);
    case "add":
    case "update":
    case "delete":
      return parseSetUpdate(tokens);
    default:
      return parseMatch(tokens);
  }
}

/** A comparison, `… vmap …` or `… set …`. */
function parseMatch(tokens: TokenStream): Statement {
  const start = tokens.peek();
  const left = parseLeft(tokens);
  if (left.kind === "vmap") {
    return { kind: "vmap", map: left.map, location: tokens.locationFrom(start) };
  }
  const subject = left;
  if (tokens.takeWord("set")) {
    if (subject.kind !== "meta" && subject.kind !== "ct" && subject.kind !== "payload") {
      throw new NftablesError(start, "this cannot be set");
    }
    const value = parseExpression(tokens);
    return {
      kind: "mangle",
      target: subject,
      value,
      location: tokens.locationFrom(start),
    };
  }
  const operator = parseComparison(tokens);
  const right = parseOperand(tokens);
  if (!tokens.takeMark("/")) {
    return { kind: "match", operator, left: subject, right, location: tokens.locationFrom(start) };
  }
  const mask = parseOperand(tokens);
  const location = tokens.locationFrom(start);
  return { kind: "match", operator, left: subject, right, mask, location };
}

function parseLeft(tokens: TokenStream): Expression | { kind: "vmap"; map: Expression } {
  const start = tokens.peek();
  const expression = parseExpression(tokens);
  if (expression.kind === "map") {
    // `map` gives a value and can only stand where one is needed.
    if (expression.verdict !== true) throw new NftablesError(start, "syntax error, unexpected map");
    return { kind: "vmap", map: expression };
  }
  if (expression.kind === "symbol") {
    throw new NftablesError(expression.location, "No symbol type information");
  }
  return expression;
}

function parseComparison(tokens: TokenStream): ComparisonOperator {
  const token = tokens.peek();
  if (token.kind === "string") return "";
  const found = COMPARISONS.find(([spelling]) => spelling === token.text);
  if (found === undefined) return "";
  tokens.next();
  return found[1];
}

function parseObjectReference(tokens: TokenStream): ObjectReference {
  const start = tokens.next();
  tokens.expectWord("name");
  const name = tokens.name();
  return {
    kind: "object",
    objectType: start.text as ObjectType,
    name: name.text,
    location: name,
  };
}

const LOG_LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"];

function parseLog(tokens: TokenStream): Log {
  const start = tokens.next();
  let log: Log = {
    kind: "log",
    prefix: undefined,
    group: undefined,
    snaplen: undefined,
    queueThreshold: undefined,
    level: undefined,
    flags: [],
  };
  const flags = new Set<string>();
  for (;;) {
    if (tokens.takeWord("prefix")) log = { ...log, prefix: tokens.name().text };
    else if (tokens.takeWord("group")) log = { ...log, group: tokens.number() };
    else if (tokens.takeWord("snaplen")) log = { ...log, snaplen: tokens.number() };
    else if (tokens.takeWord("queue-threshold")) log = { ...log, queueThreshold: tokens.number() };
    else if (tokens.takeWord("level")) {
      const level = tokens.name();
      if (!LOG_LEVELS.includes(level.text)) throw new NftablesError(level, "invalid log level");
      log = { ...log, level: level.text };
    } else if (tokens.takeWord("flags")) parseLogFlags(tokens, flags);
    else break;
  }
  if (log.level !== undefined && log.group !== undefined) {
    throw new NftablesError(start, "level and group are mutually exclusive");
  }
  if (flags.size > 0 && log.group !== undefined) {
    throw new NftablesError(start, "flags and group are mutually exclusive");
  }
  // The kernel's own log has a level; a log to a group has none.
  if (log.level === undefined && log.group === undefined && log.prefix !== undefined) {
    log = { ...log, level: "warn" };
  }
  return { ...log, flags: orderedLogFlags(flags) };
}

const LOG_FLAGS = ["tcp sequence", "tcp options", "ip options", "skuid", "ether"];

function orderedLogFlags(flags: ReadonlySet<string>): string[] {
  if (flags.has("all")) return ["all"];
  const said = LOG_FLAGS.filter((flag) => flags.has(flag));
  return said.length === LOG_FLAGS.length ? ["all"] : said;
}

function parseLogFlags(tokens: TokenStream, flags: Set<string>): void {
  const word = tokens.name();
  switch (word.text) {
    case "all":
    case "skuid":
    case "ether":
      flags.add(word.text);
      return;
    case "ip":
      tokens.expectWord("options");
      flags.add("ip options");
      return;
    case "tcp":
      do {
        const which = tokens.takeOneOf(["sequence", "options"]);
        if (which === undefined) throw tokens.unexpected();
        flags.add(`tcp ${which}`);
      } while (tokens.takeMark(","));
      return;
    default:
      throw new NftablesError(word, `syntax error, unexpected ${word.text}`);
  }
}

function parseReject(tokens: TokenStream): Reject {
  const location: Location = tokens.next();
  const plain = { kind: "reject", code: undefined, spelled: false, location } as const;
  if (!tokens.takeWord("with")) return { ...plain, type: "icmpx" };
  if (tokens.takeWord("tcp")) {
    tokens.expectWord("reset");
    return { ...plain, type: "tcp reset" };
  }
  const type = tokens.takeOneOf(["icmp", "icmpv6", "icmpx"] as const);
  if (type === undefined) throw tokens.unexpected();
  tokens.takeWord("type");
  return { ...plain, type, code: parseOperand(tokens), spelled: true };
}

function parseNat(tokens: TokenStream): Nat {
  const start = tokens.next();
  const nat = start.text as NatKind;
  const prefixFirst = tokens.takeWord("prefix");
  const familyWord = tokens.takeOneOf(["ip", "ip6"] as const);
  // `dnat ip addr . port to …` and `dnat ip prefix to …`
  let addressAndPort = false;
  if (tokens.takeWord("addr")) {
    tokens.expectMark(".");
    tokens.expectWord("port");
    addressAndPort = true;
  }
  const prefix = tokens.takeWord("prefix") || prefixFirst;
  let address: Expression | undefined;
  let port: Expression | undefined;
  if (tokens.takeWord("to") || tokens.isMark(":")) {
    if (!tokens.isMark(":")) address = parseNatAddress(tokens);
    if (tokens.takeMark(":")) port = parseNatValue(tokens);
  }
  const flags = parseNatFlags(tokens);
  return {
    kind: "nat",
    nat,
    family: familyWord === undefined ? undefined : familyWord === "ip" ? 4 : 6,
    showFamily: false,
    address,
    port,
    prefix,
    addressAndPort,
    flags,
    location: tokens.locationFrom(start),
  };
}

/** `10.0.0.1`, `[fd00::1]`, `10.0.0.1-10.0.0.9`, `[fd00::1]-[fd00::9]`, or something computed. */
function parseNatAddress(tokens: TokenStream): Expression {
  if (!tokens.isMark("[")) return parseNatValue(tokens);
  const from = parseBracketed(tokens);
  if (!tokens.takeMark("-")) return from;
  return {
    kind: "range",
    from,
    to: tokens.isMark("[") ? parseBracketed(tokens) : parseNatValue(tokens),
  };
}

function parseBracketed(tokens: TokenStream): Expression {
  tokens.expectMark("[");
  const value = parseNatValue(tokens);
  tokens.expectMark("]");
  return value;
}

function parseNatValue(tokens: TokenStream): Expression {
  const value = parseExpression(tokens);
  if (tokens.takeMark("-")) return { kind: "range", from: value, to: parseExpression(tokens) };
  if (tokens.isMark("/")) {
    const location = tokens.next();
    return { kind: "prefix", base: value, length: tokens.number(), location };
  }
  return value;
}

function parseNatFlags(tokens: TokenStream): Nat["flags"] {
  const said = new Set<string>();
  for (;;) {
    const flag = tokens.takeOneOf(NAT_FLAGS);
    if (flag === undefined) break;
    said.add(flag);
    if (!tokens.takeMark(",")) break;
  }
  return NAT_FLAGS.filter((flag) => said.has(flag));
}

function parseQueue(tokens: TokenStream): Queue {
  tokens.next();
  let to: Expression | undefined;
  const flags = new Set<string>();
  for (;;) {
    if (tokens.takeWord("num") || tokens.takeWord("to")) to = parseNatValue(tokens);
    else if (tokens.takeWord("flags")) continue;
    else {
      const flag = tokens.takeOneOf(["bypass", "fanout"]);
      if (flag === undefined) break;
      flags.add(flag);
      tokens.takeMark(",");
    }
  }
  return { kind: "queue", to, bypass: flags.has("bypass"), fanout: flags.has("fanout") };
}

function parseSetUpdate(tokens: TokenStream): SetUpdate {
  const start = tokens.next();
  const operation = start.text as SetUpdate["operation"];
  const set = parseSetOrReference(tokens);
  if (set.kind !== "setRef") throw new NftablesError(set.location, "syntax error, unexpected {");
  tokens.expectMark("{");
  const key = parseExpression(tokens);
  let timeoutMs: number | undefined;
  const stateful: (Counter | Limit | Quota)[] = [];
  for (;;) {
    if (tokens.takeWord("timeout")) timeoutMs = parseDuration(tokens);
    else if (isStatefulWord(tokens)) stateful.push(parseStateful(tokens));
    else break;
  }
  const data = tokens.takeMark(":") ? parseExpression(tokens) : undefined;
  tokens.expectMark("}");
  return {
    kind: "setUpdate",
    operation,
    set,
    key,
    data,
    timeoutMs,
    stateful,
    location: tokens.locationFrom(start),
  };
}
