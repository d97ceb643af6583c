import { compareUtf8 } from "./compare-utf8.ts";
import type { SelectorNode } from "./node.ts";
import { SelectorError } from "./selector-error.ts";
import { type Token, type TokenKind, tokenize } from "./tokenize.ts";

/** Levels of parentheses that are read. Calico has no limit but its memory; here the tree is walked by recursion. */
const MAX_DEPTH = 1000;
const VALUE_OPERATORS = {
  TokEq: "==",
  TokNe: "!=",
  TokContains: "contains",
  TokStartsWith: "starts with",
  TokEndsWith: "ends with",
} as const;

/** Reads a selector's tree (`libcalico-go/lib/selector/parser/parser.go`); an empty text is `all()`. @throws {@link SelectorError} */
export function parseNode(text: string): SelectorNode {
  const tokens = new Tokens(tokenize(text));
  if (tokens.at("TokEOF")) return { op: "all" };
  const node = parseOr(tokens, 0);
  if (!tokens.at("TokEOF"))
    throw new SelectorError(`unexpected content at end of selector [${tokens.rest()}]`);
  return node;
}

function parseOr(tokens: Tokens, depth: number): SelectorNode {
  const operands = [parseAnd(tokens, depth)];
  while (tokens.take("TokOr")) operands.push(parseAnd(tokens, depth));
  return operands.length === 1 ? (operands[0] as SelectorNode) : { op: "||", operands };
}

function parseAnd(tokens: Tokens, depth: number): SelectorNode {
  const operands = [parseOperation(tokens, depth)];
  while (tokens.take("TokAnd")) operands.push(parseOperation(tokens, depth));
  return operands.length === 1 ? (operands[0] as SelectorNode) : { op: "&&", operands };
}

function parseOperation(tokens: Tokens, depth: number): SelectorNode {
  let negated = false;
  while (tokens.take("TokNot")) negated = !negated;
  const node = parseOperand(tokens, depth);
  return negated ? { op: "!", operand: node } : node;
}

function parseOperand(tokens: Tokens, depth: number): SelectorNode {
  const token = tokens.next();
  switch (token.kind) {
    case "TokHas":
      return { op: "has", label: token.value };
    case "TokAll":
      return { op: "all" };
    case "TokGlobal":
      return { op: "global" };
    case "TokLabel":
      return parseRelation(token.value, tokens);
    case "TokLParen": {
      if (depth === MAX_DEPTH)
        throw new SelectorError(`more than ${MAX_DEPTH} levels of parentheses`);
      const node = parseOr(tokens, depth + 1);
      if (!tokens.take("TokRParen")) throw new SelectorError("expected )");
      return node;
    }
    default:
      throw new SelectorError(`unexpected token: ${shown(token)}`);
  }
}

function parseRelation(label: string, tokens: Tokens): SelectorNode {
  // What the parser asks first of all: an operator and what may be a value.
  if (tokens.left < 2) throw new SelectorError("unexpected end of string looking for op");
  const operator = tokens.next();
  switch (operator.kind) {
    case "TokEq":
    case "TokNe":
    case "TokContains":
    case "TokStartsWith":
    case "TokEndsWith": {
      if (!tokens.at("TokStringLiteral")) throw new SelectorError("expected string");
      return { op: VALUE_OPERATORS[operator.kind], label, value: tokens.next().value };
    }
    case "TokIn":
    case "TokNotIn":
      return { op: operator.kind === "TokIn" ? "in" : "not in", label, values: parseSet(tokens) };
    default:
      throw new SelectorError(`expected == or != not: ${shown(operator)}`);
  }
}

function parseSet(tokens: Tokens): readonly string[] {
  if (!tokens.take("TokLBrace")) throw new SelectorError("expected set literal");
  const values = new Set<string>();
  while (tokens.at("TokStringLiteral")) {
    values.add(tokens.next().value);
    if (!tokens.take("TokComma")) break;
  }
  if (!tokens.take("TokRBrace")) throw new SelectorError("expected }");
  return [...values].sort(compareUtf8);
}

/** What is still to be read. The end token is never passed. */
class Tokens {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  at(kind: TokenKind): boolean {
    return this.#current.kind === kind;
  }

  /** Tokens not yet read, the end token too. */
  get left(): number {
    return this.#tokens.length - this.#next;
  }

  next(): Token {
    const token = this.#current;
    if (token.kind !== "TokEOF") this.#next++;
    return token;
  }

  take(kind: TokenKind): boolean {
    if (!this.at(kind)) return false;
    this.#next++;
    return true;
  }

  rest(): string {
    return this.#tokens.slice(this.#next).map(shown).join(" ");
  }

  get #current(): Token {
    return this.#tokens[this.#next] as Token;
  }
}

function shown(token: Token): string {
  return `${token.kind}(${token.value})`;
}
