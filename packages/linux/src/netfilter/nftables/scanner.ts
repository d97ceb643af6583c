import { type Location, NftablesError } from "./nftables-error.ts";

/**
 * `word`: a name, a number, an address; `string`: in quotes, which `text` lacks; `mark`: punctuation;
 * `newline`; `end` of the text.
 */
export type TokenKind = "word" | "string" | "mark" | "newline" | "end";

export interface Token extends Location {
  readonly kind: TokenKind;
  readonly text: string;
}

// As nft's scanner.l has them, where the longest match wins: MAC and IPv6 addresses before IPv4 addresses
// before numbers before names.
const WORD =
  /(?:[0-9a-fA-F]{0,4}:){2,8}(?:[0-9]+\.[0-9.]+|[0-9a-fA-F]{0,4})(?![0-9a-zA-Z_])|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|0x[0-9a-fA-F]+(?![0-9a-zA-Z_])|[0-9]+[a-zA-Z0-9_]*|[a-zA-Z_][a-zA-Z0-9_./\\-]*\*?|\*/y;
const MARK = /<<|>>|==|!=|<=|>=|[-{}()[\];:.,/@$=<>!&|^+]/y;
const SPACE = /(?:[ \t\r]|\\\r?\n|#[^\n]*)+/y;
const STRING = /"[^"\n]*"/y;

const NEWLINE = 10;
const QUOTE = 34;

/** Cuts the text of nft commands into tokens, one at a time. */
export class Scanner {
  readonly #text: string;
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @throws NftablesError at a character that begins no token */
  next(): Token {
    const text = this.#text;
    this.#skipSpace();
    const at = this.#at;
    if (at >= text.length) return this.#token("end", "", 0);
    const first = text.charCodeAt(at);
    if (first === NEWLINE) {
      const token = this.#token("newline", "\n", 1);
      this.#line++;
      this.#lineStart = at + 1;
      return token;
    }
    if (first === QUOTE) {
      const end = this.#match(STRING);
      if (end > at) return this.#token("string", text.slice(at + 1, end - 1), end - at);
    }
    const word = this.#match(WORD);
    if (word > at) return this.#token("word", text.slice(at, word), word - at);
    const mark = this.#match(MARK);
    if (mark > at) return this.#token("mark", text.slice(at, mark), mark - at);
    const junk = this.#token("mark", text.charAt(at), 1);
    throw new NftablesError(junk, `syntax error, unexpected junk, '${junk.text}'`);
  }

  /** Where what matches here ends; here itself if nothing does. */
  #match(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#text) ? pattern.lastIndex : this.#at;
  }

  /** Comments and continued lines are space. */
  #skipSpace(): void {
    const end = this.#match(SPACE);
    for (let i = this.#at; i < end; i++) {
      if (this.#text.charCodeAt(i) !== NEWLINE) continue;
      this.#line++;
      this.#lineStart = i + 1;
    }
    this.#at = end;
  }

  #token(kind: TokenKind, text: string, length: number): Token {
    const column = this.#at - this.#lineStart + 1;
    this.#at += length;
    const lastColumn = column + Math.max(length, 1) - 1;
    return { kind, text, line: this.#line, column, lastColumn };
  }
}
