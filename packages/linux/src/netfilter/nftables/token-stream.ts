import { type Location, NftablesError } from "./nftables-error.ts";
import { Scanner, type Token } from "./scanner.ts";

/** Tokens with two tokens of look-ahead, and the questions that a parser asks of them. */
export class TokenStream {
  readonly #scanner: Scanner;
  readonly #ahead: Token[] = [];

  constructor(text: string) {
    this.#scanner = new Scanner(text);
  }

  peek(distance = 0): Token {
    while (this.#ahead.length <= distance) this.#ahead.push(this.#scanner.next());
    return this.#ahead[distance] as Token;
  }

  next(): Token {
    return this.#ahead.shift() ?? this.#scanner.next();
  }

  /** Whether the next token is this unquoted word. */
  isWord(text: string, distance = 0): boolean {
    const token = this.peek(distance);
    return token.kind === "word" && token.text === text;
  }

  isMark(text: string, distance = 0): boolean {
    const token = this.peek(distance);
    return token.kind === "mark" && token.text === text;
  }

  /** Takes the word if it is next. */
  takeWord(text: string): boolean {
    if (!this.isWord(text)) return false;
    this.next();
    return true;
  }

  takeMark(text: string): boolean {
    if (!this.isMark(text)) return false;
    this.next();
    return true;
  }

  /** The next of these words, if it is one of them. */
  takeOneOf<T extends string>(words: readonly T[]): T | undefined {
    const token = this.peek();
    if (token.kind !== "word" || !(words as readonly string[]).includes(token.text)) {
      return undefined;
    }
    this.next();
    return token.text as T;
  }

  expectMark(text: string): Token {
    if (!this.isMark(text)) throw this.unexpected(text);
    return this.next();
  }

  expectWord(text: string): Token {
    if (!this.isWord(text)) throw this.unexpected(text);
    return this.next();
  }

  /** A name, quoted or not. */
  name(): Token {
    const token = this.peek();
    if (token.kind !== "word" && token.kind !== "string") throw this.unexpected("string");
    return this.next();
  }

  string(): string {
    if (this.peek().kind !== "string") throw this.unexpected("quoted string");
    return this.next().text;
  }

  /** A whole number that fits into 32 bits. */
  number(): number {
    const token = this.peek();
    if (token.kind !== "word" || !/^(0x[0-9a-fA-F]+|[0-9]+)$/.test(token.text)) {
      throw this.unexpected("number");
    }
    const value = Number(this.next().text);
    if (value > Number.MAX_SAFE_INTEGER) throw new NftablesError(token, "value too large");
    return value;
  }

  skipNewlines(): void {
    while (this.peek().kind === "newline") this.next();
  }

  unexpected(expected?: string): NftablesError {
    const token = this.peek();
    const what = describe(token);
    const expecting = expected === undefined ? "" : `, expecting ${expected}`;
    return new NftablesError(token, `syntax error, unexpected ${what}${expecting}`);
  }

  /** From `start` up to what comes next. */
  locationFrom(start: Location): Location {
    const end = this.peek();
    const sameLine = end.line === start.line;
    return {
      line: start.line,
      column: start.column,
      lastColumn: sameLine ? Math.max(start.lastColumn, end.column - 1) : start.lastColumn,
    };
  }
}

function describe(token: Token): string {
  switch (token.kind) {
    case "end":
      return "end of file";
    case "newline":
      return "newline";
    case "string":
      return "quoted string";
    case "word":
      return /^[0-9]+$/.test(token.text) ? "number" : token.text;
    case "mark":
      return token.text === ";" ? "semicolon" : token.text;
  }
}
