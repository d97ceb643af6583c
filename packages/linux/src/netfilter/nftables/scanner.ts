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

// In the order of nft's scanner.l, where the longest match wins: addresses before names and numbers.
const TOKEN = new RegExp(
  [
    /(?<space>(?:[ \t\r]|\\\r?\n|#[^\n]*)+)/,
    /(?<newline>\n)/,
    /(?<string>"[^"\n]*")/,
    // MAC and IPv6 addresses, then IPv4
    /(?<word>(?:[0-9a-fA-F]{0,4}:){2,8}(?:[0-9]+\.[0-9.]+|[0-9a-fA-F]{0,4})(?![0-9a-zA-Z_])|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|0x[0-9a-fA-F]+(?![0-9a-zA-Z_])|[0-9]+[a-zA-Z0-9_]*|[a-zA-Z_][a-zA-Z0-9_./\\-]*\*?|\*)/,
    /(?<mark><<|>>|==|!=|<=|>=|[-{}()[\];:.,/@$=<>!&|^+])/,
  ]
    .map((part) => part.source)
    .join("|"),
  "y",
);

/** Cuts the text of nft commands into tokens, one at a time. */
export class Scanner {
  readonly #text: string;
  readonly #pattern: RegExp = new RegExp(TOKEN);
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @throws NftablesError at a character that begins no token */
  next(): Token {
    for (;;) {
      if (this.#at >= this.#text.length) return this.#token("end", "", 1);
      this.#pattern.lastIndex = this.#at;
      const groups = this.#pattern.exec(this.#text)?.groups;
      if (groups === undefined) {
        throw new NftablesError(
          this.#token("mark", "", 1),
          `syntax error, unexpected junk, '${this.#text[this.#at]}'`,
        );
      }
      if (groups["space"] !== undefined) {
        this.#skip(groups["space"]);
        continue;
      }
      if (groups["newline"] !== undefined) {
        const token = this.#token("newline", "\n", 1);
        this.#skip("\n");
        return token;
      }
      const { string, word, mark } = groups as Readonly<Record<string, string | undefined>>;
      const found = (string ?? word ?? mark) as string;
      const kind = string !== undefined ? "string" : word !== undefined ? "word" : "mark";
      const text = string === undefined ? found : found.slice(1, -1);
      const token = this.#token(kind, text, found.length);
      this.#at += found.length;
      return token;
    }
  }

  #token(kind: TokenKind, text: string, length: number): Token {
    const column = this.#at - this.#lineStart + 1;
    return { kind, text, line: this.#line, column, lastColumn: column + length - 1 };
  }

  #skip(text: string): void {
    for (let i = 0; i < text.length; i++) {
      if (text[i] !== "\n") continue;
      this.#line++;
      this.#lineStart = this.#at + i + 1;
    }
    this.#at += text.length;
  }
}
