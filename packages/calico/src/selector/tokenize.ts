import { SelectorError } from "./selector-error.ts";

/** Kinds of tokens, as Calico's error messages name them (`libcalico-go/lib/selector/tokenizer/kind_string.go`). */
export type TokenKind =
  | "TokLabel"
  | "TokStringLiteral"
  | "TokLBrace"
  | "TokRBrace"
  | "TokComma"
  | "TokEq"
  | "TokNe"
  | "TokIn"
  | "TokNot"
  | "TokNotIn"
  | "TokContains"
  | "TokStartsWith"
  | "TokEndsWith"
  | "TokAll"
  | "TokHas"
  | "TokLParen"
  | "TokRParen"
  | "TokAnd"
  | "TokOr"
  | "TokGlobal"
  | "TokEOF";

/** One token. */
export interface Token {
  readonly kind: TokenKind;
  /** Of a label, a string and `has()`; else empty. */
  readonly value: string;
}

const MAX_LABEL_LENGTH = 512;
const IDENTIFIER = /[A-Za-z0-9_./-]*/y;
const BLANKS = /[ \t]*/y;
const PUNCTUATION: Readonly<Record<string, TokenKind>> = {
  "(": "TokLParen",
  ")": "TokRParen",
  "{": "TokLBrace",
  "}": "TokRBrace",
  ",": "TokComma",
};
/** First character of a doubled operator → its kind. */
const DOUBLED: Readonly<Record<string, TokenKind>> = { "=": "TokEq", "&": "TokAnd", "|": "TokOr" };
/** Operators that are words; only looked for behind a label, so that the words may be labels. Of two words, blanks between are optional. */
const WORD_OPERATORS: readonly (readonly [RegExp, TokenKind])[] = [
  [/contains(?![A-Za-z0-9_./-])/y, "TokContains"],
  [/starts[ \t]*with(?![ \t]*[A-Za-z0-9_./-])/y, "TokStartsWith"],
  [/ends[ \t]*with(?![ \t]*[A-Za-z0-9_./-])/y, "TokEndsWith"],
  [/not[ \t]*in(?![ \t]*[A-Za-z0-9_./-])/y, "TokNotIn"],
  [/in(?![A-Za-z0-9_./-])/y, "TokIn"],
];

/** Reads a selector's tokens, an end token last (`libcalico-go/lib/selector/tokenizer/tokenizer.go`). @throws {@link SelectorError} */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = skipBlanks(text, 0);
  while (at < text.length) {
    const [token, next] = readToken(text, at, tokens.at(-1));
    tokens.push(token);
    at = skipBlanks(text, next);
  }
  tokens.push({ kind: "TokEOF", value: "" });
  return tokens;
}

function readToken(
  text: string,
  at: number,
  previous: Token | undefined,
): readonly [Token, next: number] {
  const first = text[at] as string;
  const punctuation = PUNCTUATION[first];
  if (punctuation !== undefined) return [bare(punctuation), at + 1];
  const doubled = DOUBLED[first];
  if (doubled !== undefined) {
    if (text[at + 1] !== first) throw new SelectorError(`expected ${first}${first}`);
    return [bare(doubled), at + 2];
  }
  if (first === "!")
    return text[at + 1] === "=" ? [bare("TokNe"), at + 2] : [bare("TokNot"), at + 1];
  if (first === '"' || first === "'") {
    const end = text.indexOf(first, at + 1);
    if (end === -1) throw new SelectorError("unterminated string");
    return [{ kind: "TokStringLiteral", value: text.slice(at + 1, end) }, end + 1];
  }
  if (previous?.kind === "TokLabel") return readWordOperator(text, at, previous.value);
  return readFunctionOrLabel(text, at);
}

function readWordOperator(text: string, at: number, label: string): readonly [Token, next: number] {
  for (const [pattern, kind] of WORD_OPERATORS) {
    const length = matchLength(pattern, text, at);
    if (length !== undefined) return [bare(kind), at + length];
  }
  throw new SelectorError(`expected operator after label "${label}"`);
}

function readFunctionOrLabel(text: string, at: number): readonly [Token, next: number] {
  if (text.startsWith("has(", at)) {
    const start = skipBlanks(text, at + 4);
    const label = readIdentifier(text, start);
    return [{ kind: "TokHas", value: label }, closed(text, start + label.length, "has")];
  }
  if (text.startsWith("all(", at)) return [bare("TokAll"), closed(text, at + 4, "all")];
  if (text.startsWith("global(", at)) return [bare("TokGlobal"), closed(text, at + 7, "global")];
  const label = readIdentifier(text, at);
  return [{ kind: "TokLabel", value: label }, at + label.length];
}

function closed(text: string, at: number, name: string): number {
  const end = skipBlanks(text, at);
  if (text[end] !== ")") throw new SelectorError(`no closing ')' after ${name}(`);
  return end + 1;
}

function readIdentifier(text: string, at: number): string {
  const label = text.slice(at, at + (matchLength(IDENTIFIER, text, at) ?? 0));
  if (label.length > MAX_LABEL_LENGTH) throw new SelectorError(`label too long: ${label}`);
  if (label === "") throw new SelectorError("expected identifier");
  return label;
}

function skipBlanks(text: string, at: number): number {
  return at + (matchLength(BLANKS, text, at) ?? 0);
}

function matchLength(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex - at : undefined;
}

function bare(kind: TokenKind): Token {
  return { kind, value: "" };
}
