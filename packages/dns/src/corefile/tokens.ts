import type { Token } from "./corefile-error.ts";

/**
 * Splits a Corefile into words, as coredns/caddy's `caddyfile/lexer.go`: words stand between blanks; a word that begins
 * with a double quote ends at the next one, may hold blanks and line ends, and `\"` in it is a quote; `#` begins a comment
 * where a word could begin.
 * @param environment for `{$NAME}` and `{%NAME%}`; nothing takes the place of a name that is not there
 */
export function tokenize(
  text: string,
  file: string,
  environment: Readonly<Record<string, string>> = {},
): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (at < text.length) {
    const char = text[at] as string;
    if (char === "\n") line++;
    if (/\s/.test(char)) {
      at++;
      continue;
    }
    if (char === "#") {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end;
      continue;
    }
    const first = line;
    let word = "";
    if (char === '"') {
      for (at++; at < text.length && text[at] !== '"'; at++) {
        if (text[at] === "\\" && text[at + 1] === '"') at++;
        if (text[at] === "\n") line++;
        if (text[at] !== "\r") word += text[at];
      }
      at++;
    } else {
      const start = at;
      while (at < text.length && !/\s/.test(text[at] as string)) at++;
      word = text.slice(start, at);
    }
    tokens.push({ text: withEnvironment(word, environment), file, line: first });
  }
  return tokens;
}

function withEnvironment(word: string, environment: Readonly<Record<string, string>>): string {
  if (!word.includes("{")) return word;
  const value = (_: string, name: string): string =>
    Object.hasOwn(environment, name) ? (environment[name] as string) : "";
  return word.replace(/\{\$([^{}]+)\}/g, value).replace(/\{%([^{}%]+)%\}/g, value);
}
