import {
  type AddVerb,
  type BaseChainSpec,
  type ChainSpec,
  type ChainType,
  type Command,
  type DeleteVerb,
  type SetSpec,
  TABLE_FAMILIES,
  type TableFamily,
  type TablePath,
  type TypeSpec,
} from "./command.ts";
import { type DataType, dataTypeByName } from "./data-type.ts";
import type { SetElement } from "./expression.ts";
import { type Location, NftablesError } from "./nftables-error.ts";
import { parseDuration, parseExpression, parseSet } from "./parse-expression.ts";
import {
  isStatefulWord,
  parseCounter,
  parseLimit,
  parseQuota,
  parseStateful,
} from "./parse-stateful.ts";
import { MAX_COMMENT, parseRule } from "./parse-statement.ts";
import type { Counter, Limit, ObjectType, Quota } from "./statement.ts";
import { TokenStream } from "./token-stream.ts";

const VERBS = [
  "add",
  "create",
  "insert",
  "replace",
  "delete",
  "destroy",
  "flush",
  "list",
  "reset",
  "rename",
] as const;

const OBJECT_TYPES = ["counter", "quota", "limit"] as const;

/**
 * Reads nft's own language. A table's block becomes the commands that nft sends for it: the table,
 * its chains, its objects, its sets and then their elements and the rules.
 * @throws NftablesError at the first thing that is no nft
 */
export function parseCommands(text: string): Command[] {
  const tokens = new TokenStream(text);
  const commands: Command[] = [];
  for (;;) {
    while (tokens.peek().kind === "newline" || tokens.isMark(";")) tokens.next();
    if (tokens.peek().kind === "end") return commands;
    for (const command of parseCommand(tokens)) commands.push(command);
    const { kind } = tokens.peek();
    if (kind !== "newline" && kind !== "end" && !tokens.isMark(";")) {
      throw tokens.unexpected("end of file or newline or semicolon");
    }
  }
}

/** One rule as it would follow `add rule TABLE CHAIN`. */
export function parseRuleText(text: string): ReturnType<typeof parseRule> {
  const tokens = new TokenStream(text);
  const rule = parseRule(tokens);
  if (tokens.peek().kind !== "end") throw tokens.unexpected("end of file");
  return rule;
}

function parseCommand(tokens: TokenStream): Command[] {
  const start = tokens.peek();
  const verb = tokens.takeOneOf(VERBS) ?? "add";
  const object = tokens.peek();
  switch (verb) {
    case "add":
    case "create":
      return parseAdd(tokens, verb, start);
    case "insert":
    case "replace":
      tokens.expectWord("rule");
      return [parseRuleCommand(tokens, verb, start)];
    case "delete":
    case "destroy":
      return [parseDelete(tokens, verb, start)];
    case "flush":
      return [parseFlush(tokens, start)];
    case "list":
    case "reset":
      while (!["newline", "end"].includes(tokens.peek().kind) && !tokens.isMark(";")) tokens.next();
      return [{ kind: "list", family: "ip", table: "", location: start, tableLocation: start }];
    case "rename": {
      tokens.expectWord("chain");
      const path = parsePath(tokens);
      const chain = tokens.name().text;
      const name = tokens.name().text;
      return [{ ...path, location: object, kind: "renameChain", chain, name }];
    }
  }
}

function parseFamily(tokens: TokenStream): TableFamily {
  // A table may be named like a family.
  const { kind } = tokens.peek(1);
  if (kind !== "word" && kind !== "string") return "ip";
  return tokens.takeOneOf(TABLE_FAMILIES) ?? "ip";
}

/** `[family] table`. */
function parsePath(tokens: TokenStream): TablePath {
  const family = parseFamily(tokens);
  const { text: table, line, column, lastColumn } = tokens.name();
  const location = { line, column, lastColumn };
  return { family, table, location, tableLocation: location };
}

function parseAdd(tokens: TokenStream, verb: AddVerb, start: Location): Command[] {
  const word = tokens.peek();
  if (tokens.takeWord("table")) return parseTable(tokens, verb);
  if (tokens.takeWord("chain")) return parseChain(tokens, verb);
  if (tokens.takeWord("set") || tokens.takeWord("map")) {
    const path = parsePath(tokens);
    return parseSetDefinition(tokens, verb, path, word.text === "map");
  }
  if (tokens.takeWord("element")) {
    const path = parsePath(tokens);
    const set = tokens.name();
    const { elements } = parseSet(tokens);
    const location = at(set);
    return [{ ...path, location, kind: "addElements", verb, set: set.text, elements }];
  }
  const objectType = tokens.takeOneOf(OBJECT_TYPES);
  if (objectType !== undefined) {
    return [parseObjectDefinition(tokens, verb, parsePath(tokens), objectType)];
  }
  if (word.kind !== "word") throw tokens.unexpected();
  // `add rule …`; the word itself may be left out.
  if (!tokens.takeWord("rule") && !looksLikeRule(tokens)) throw tokens.unexpected();
  return [parseRuleCommand(tokens, "append", start)];
}

/** `add TABLE CHAIN …`, with or without a family. */
function looksLikeRule(tokens: TokenStream): boolean {
  return tokens.peek(1).kind === "word" && tokens.peek(2).kind === "word";
}

function parseRuleCommand(
  tokens: TokenStream,
  verb: "append" | "insert" | "replace",
  start: Location,
): Command {
  const path = parsePath(tokens);
  const chain = tokens.name();
  let handle: number | undefined;
  let index: number | undefined;
  let placeLocation: Location = start;
  if (tokens.isWord("handle") || tokens.isWord("position") || tokens.isWord("index")) {
    const isIndex = tokens.next().text === "index";
    placeLocation = at(tokens.peek());
    const number = tokens.number();
    if (isIndex) index = number;
    else handle = number;
  }
  if (verb === "replace" && handle === undefined) throw tokens.unexpected("handle");
  const rule = parseRule(tokens);
  const location = tokens.locationFrom(start);
  return {
    ...path,
    location,
    kind: "addRule",
    where: verb,
    chain: chain.text,
    chainLocation: at(chain),
    handle,
    index,
    placeLocation,
    rule,
  };
}

/** What a table's block holds, gathered in the order in which nft sends it. */
interface TableContent {
  readonly chains: Command[];
  readonly objects: Command[];
  readonly sets: Command[];
  readonly elements: Command[];
  readonly rules: Command[];
}

function parseTable(tokens: TokenStream, verb: AddVerb): Command[] {
  const path = parsePath(tokens);
  const content: TableContent = { chains: [], objects: [], sets: [], elements: [], rules: [] };
  let comment: string | undefined;
  let dormant: boolean | undefined;
  if (tokens.takeMark("{")) {
    while (!takeBlockEnd(tokens)) {
      const word = tokens.peek();
      if (tokens.takeWord("comment")) comment = parseComment(tokens);
      else if (tokens.takeWord("flags")) {
        tokens.expectWord("dormant");
        dormant = true;
      } else if (tokens.takeWord("chain")) parseChainBlock(tokens, path, content);
      else if (tokens.takeWord("set") || tokens.takeWord("map")) {
        const [set, ...elements] = parseSetDefinition(tokens, "add", path, word.text === "map");
        content.sets.push(set as Command);
        content.elements.push(...elements);
      } else {
        const objectType = tokens.takeOneOf(OBJECT_TYPES);
        if (objectType === undefined) throw tokens.unexpected();
        content.objects.push(parseObjectDefinition(tokens, "add", path, objectType));
      }
      if (!tokens.isMark("}")) endOfStatement(tokens);
    }
  }
  const table: Command = { ...path, kind: "addTable", verb, comment, dormant };
  return [
    table,
    ...content.chains,
    ...content.objects,
    ...content.sets,
    ...content.elements,
    ...content.rules,
  ];
}

/** Skips what separates statements, and takes the closing brace if it is next. */
function takeBlockEnd(tokens: TokenStream): boolean {
  while (tokens.peek().kind === "newline" || tokens.isMark(";")) tokens.next();
  return tokens.takeMark("}");
}

function endOfStatement(tokens: TokenStream): void {
  if (tokens.peek().kind !== "newline" && !tokens.isMark(";")) {
    throw tokens.unexpected("newline or semicolon");
  }
  tokens.next();
}

function parseComment(tokens: TokenStream): string {
  const at = tokens.peek();
  const comment = tokens.string();
  if (comment.length > MAX_COMMENT) {
    throw new NftablesError(at, `comment too long, ${MAX_COMMENT} characters maximum allowed`);
  }
  return comment;
}

function parseChain(tokens: TokenStream, verb: AddVerb): Command[] {
  const path = parsePath(tokens);
  const content: TableContent = { chains: [], objects: [], sets: [], elements: [], rules: [] };
  parseChainBlock(tokens, path, content, verb);
  return [...content.chains, ...content.rules];
}

function parseChainBlock(
  tokens: TokenStream,
  path: TablePath,
  content: TableContent,
  verb: AddVerb = "add",
): void {
  const { text: chain, line, column, lastColumn } = tokens.name();
  const located = { ...path, location: { line, column, lastColumn } };
  let spec: ChainSpec = { base: undefined, policy: undefined, comment: undefined };
  if (tokens.takeMark("{")) {
    while (!takeBlockEnd(tokens)) {
      if (tokens.isWord("type") && isChainType(tokens.peek(1).text)) {
        spec = { ...spec, base: parseHook(tokens) };
      } else if (tokens.takeWord("policy")) {
        const policy = tokens.takeOneOf(["accept", "drop"] as const);
        if (policy === undefined) throw tokens.unexpected();
        spec = { ...spec, policy };
      } else if (tokens.isWord("comment")) {
        tokens.next();
        spec = { ...spec, comment: parseComment(tokens) };
      } else {
        const start = tokens.peek();
        const rule = parseRule(tokens);
        const { location } = rule;
        content.rules.push({
          ...path,
          location: { ...location, column: start.column },
          kind: "addRule",
          where: "append",
          chain,
          chainLocation: located.location,
          handle: undefined,
          index: undefined,
          placeLocation: location,
          rule,
        });
      }
      if (!tokens.isMark("}")) endOfStatement(tokens);
    }
  }
  content.chains.push({ ...located, kind: "addChain", verb, chain, spec });
}

function isChainType(text: string): text is ChainType {
  return text === "filter" || text === "nat" || text === "route";
}

/** `type filter hook forward [device eth0] priority filter - 1`. */
function parseHook(tokens: TokenStream): BaseChainSpec {
  const start = tokens.next();
  const type = tokens.takeOneOf(["filter", "nat", "route"] as const);
  if (type === undefined) throw tokens.unexpected();
  tokens.expectWord("hook");
  const hook = tokens.name();
  const devices: string[] = [];
  if (tokens.takeWord("device")) devices.push(tokens.name().text);
  else if (tokens.takeWord("devices")) {
    tokens.expectMark("=");
    tokens.expectMark("{");
    do devices.push(tokens.name().text);
    while (tokens.takeMark(","));
    tokens.expectMark("}");
  }
  tokens.expectWord("priority");
  const priority = parsePriority(tokens);
  const location = tokens.locationFrom(start);
  return { type, hook: hook.text, devices, priority, location };
}

/** `-100`, `srcnat`, `dstnat - 10`. */
function parsePriority(tokens: TokenStream): BaseChainSpec["priority"] {
  if (tokens.takeMark("-")) return { name: undefined, offset: -tokens.number() };
  tokens.takeMark("+");
  if (/^[0-9]/.test(tokens.peek().text)) return { name: undefined, offset: tokens.number() };
  const word = tokens.name().text;
  // Without spaces the scanner takes `filter-1` for one name, as nft's does.
  if (tokens.takeMark("-")) return { name: word, offset: -tokens.number() };
  return { name: word, offset: tokens.takeMark("+") ? tokens.number() : 0 };
}

function parseSetDefinition(
  tokens: TokenStream,
  verb: AddVerb,
  path: TablePath,
  isMap: boolean,
): Command[] {
  const { text: set, line, column, lastColumn } = tokens.name();
  const at = { ...path, location: { line, column, lastColumn } };
  const block = new SetBlock(isMap);
  if (tokens.takeMark("{")) {
    while (!takeBlockEnd(tokens)) {
      block.parseLine(tokens);
      if (!tokens.isMark("}")) endOfStatement(tokens);
    }
  }
  const added: Command = { ...at, kind: "addSet", verb, set, spec: block.spec };
  if (block.elements === undefined) return [added];
  return [added, { ...at, kind: "addElements", verb: "add", set, elements: block.elements }];
}

/** What stands between the braces of a set or map. */
class SetBlock {
  spec: SetSpec;
  elements: readonly SetElement[] | undefined = undefined;

  constructor(isMap: boolean) {
    this.spec = {
      key: undefined,
      data: undefined,
      objects: undefined,
      isMap,
      dataInterval: false,
      flags: [],
      timeoutMs: undefined,
      gcIntervalMs: undefined,
      size: undefined,
      policy: "performance",
      autoMerge: false,
      stateful: [],
      comment: undefined,
    };
  }

  parseLine(tokens: TokenStream): void {
    const word = tokens.peek();
    if (isStatefulWord(tokens)) {
      this.#with({ stateful: [...this.spec.stateful, parseStateful(tokens)] });
      return;
    }
    if (word.kind !== "word") throw tokens.unexpected();
    tokens.next();
    switch (word.text) {
      case "type":
        this.#parseTypes(tokens, parseTypeNames);
        return;
      case "typeof":
        this.#parseTypes(tokens, (t) => ({ typeOf: parseExpression(t) }));
        return;
      case "flags":
        this.#parseFlags(tokens);
        return;
      case "timeout":
        this.#with({ timeoutMs: parseDuration(tokens) });
        return;
      case "gc-interval":
        this.#with({ gcIntervalMs: parseDuration(tokens) });
        return;
      case "size":
        this.#with({ size: tokens.number() });
        return;
      case "policy": {
        const policy = tokens.takeOneOf(["performance", "memory"] as const);
        if (policy === undefined) throw tokens.unexpected();
        this.#with({ policy });
        return;
      }
      case "auto-merge":
        this.#with({ autoMerge: true });
        return;
      case "comment":
        this.#with({ comment: parseComment(tokens) });
        return;
      case "elements":
        tokens.expectMark("=");
        tokens.skipNewlines();
        this.elements = parseSet(tokens).elements;
        return;
      default:
        throw new NftablesError(word, `syntax error, unexpected ${word.text}`);
    }
  }

  #with(change: Partial<SetSpec>): void {
    this.spec = { ...this.spec, ...change };
  }

  #parseTypes(tokens: TokenStream, parse: (tokens: TokenStream) => TypeSpec): void {
    const key = parse(tokens);
    this.#with({ key });
    if (!this.spec.isMap) return;
    tokens.expectMark(":");
    const dataInterval = tokens.takeWord("interval");
    const objects = tokens.takeOneOf(OBJECT_TYPES);
    if (objects !== undefined) this.#with({ objects });
    else {
      const verdict = dataTypeByName("verdict") as DataType;
      const data = tokens.takeWord("verdict") ? { types: [verdict] } : parse(tokens);
      this.#with({ data, dataInterval });
    }
  }

  #parseFlags(tokens: TokenStream): void {
    const flags = new Set(this.spec.flags);
    do {
      const flag = tokens.takeOneOf(["constant", "dynamic", "interval", "timeout"] as const);
      if (flag === undefined) throw tokens.unexpected();
      flags.add(flag);
    } while (tokens.takeMark(","));
    this.#with({ flags: [...flags] });
  }
}

function parseTypeNames(tokens: TokenStream): TypeSpec {
  const types: DataType[] = [];
  do {
    const token = tokens.name();
    const type = dataTypeByName(token.text);
    if (type === undefined) throw new NftablesError(token, `unknown datatype ${token.text}`);
    types.push(type);
  } while (tokens.takeMark("."));
  return { types };
}

function parseObjectDefinition(
  tokens: TokenStream,
  verb: AddVerb,
  path: TablePath,
  objectType: ObjectType,
): Command {
  const { text: name, line, column, lastColumn } = tokens.name();
  const at = { ...path, location: { line, column, lastColumn } };
  let object: Counter | Limit | Quota | undefined;
  let comment: string | undefined;
  const parse = () => {
    if (objectType === "counter") return parseCounter(tokens);
    return objectType === "limit" ? parseLimit(tokens) : parseQuota(tokens);
  };
  if (tokens.takeMark("{")) {
    while (!takeBlockEnd(tokens)) {
      if (tokens.takeWord("comment")) comment = parseComment(tokens);
      else object = parse();
      if (!tokens.isMark("}")) endOfStatement(tokens);
    }
  } else if (objectType !== "counter" || tokens.isWord("packets")) object = parse();
  if (object === undefined) {
    if (objectType !== "counter") throw tokens.unexpected();
    object = { kind: "counter", packets: 0, bytes: 0 };
  }
  return { ...at, kind: "addObject", verb, name, object, comment };
}

function parseDelete(tokens: TokenStream, verb: DeleteVerb, start: Location): Command {
  const what = tokens.takeOneOf([
    "table",
    "chain",
    "set",
    "map",
    "element",
    "rule",
    ...OBJECT_TYPES,
  ] as const);
  if (what === undefined) throw tokens.unexpected();
  if (what === "table") {
    const family = parseFamily(tokens);
    const handle = takeHandle(tokens);
    const token = handle === undefined ? tokens.name() : start;
    const table = "text" in token ? (token.text as string) : "";
    const location = at(token);
    return { family, table, location, tableLocation: location, kind: "deleteTable", verb, handle };
  }
  const path = parsePath(tokens);
  if (what === "rule") {
    const chain = tokens.name();
    tokens.expectWord("handle");
    const location = at(tokens.peek());
    const handle = tokens.number();
    const chainLocation = at(chain);
    return { ...path, location, kind: "deleteRule", chain: chain.text, chainLocation, handle };
  }
  const handle = takeHandle(tokens);
  const token = handle === undefined ? tokens.name() : undefined;
  const name = token?.text ?? "";
  const located = { ...path, location: at(token ?? start) };
  switch (what) {
    case "chain":
      return { ...located, kind: "deleteChain", verb, chain: name, handle };
    case "set":
    case "map":
      return { ...located, kind: "deleteSet", verb, set: name, handle };
    case "element": {
      const { elements } = parseSet(tokens);
      return { ...located, kind: "deleteElements", verb, set: name, elements };
    }
    default:
      return { ...located, kind: "deleteObject", verb, objectType: what, name };
  }
}

function at({ line, column, lastColumn }: Location): Location {
  return { line, column, lastColumn };
}

function takeHandle(tokens: TokenStream): number | undefined {
  if (!tokens.isWord("handle") || !/^[0-9]+$/.test(tokens.peek(1).text)) return undefined;
  tokens.next();
  return tokens.number();
}

function parseFlush(tokens: TokenStream, start: Location): Command {
  const what = tokens.takeOneOf(["ruleset", "table", "chain", "set", "map"] as const);
  if (what === undefined) throw tokens.unexpected();
  if (what === "ruleset") {
    const onlyFamily = tokens.takeOneOf(TABLE_FAMILIES);
    return {
      family: "ip",
      table: "",
      location: start,
      tableLocation: start,
      kind: "flushRuleset",
      onlyFamily,
    };
  }
  const path = parsePath(tokens);
  if (what === "table") return { ...path, kind: "flushTable" };
  const { text: name, line, column, lastColumn } = tokens.name();
  const located = { ...path, location: { line, column, lastColumn } };
  if (what === "chain") return { ...located, kind: "flushChain", chain: name };
  return { ...located, kind: "flushSet", set: name };
}
