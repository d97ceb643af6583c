import { parameterProblem } from "./iptables-error.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/g;

/**
 * Splits a line into words: blanks part them, but not inside of double quotes, where a backslash takes
 * the next character as it is (`add_param_to_argv`, iptables 1.8.9). An open quote at the end, which the
 * tool lets pass with the rest of the line in it, is an error here.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (let at = 0; ; ) {
    while (at < line.length && isBlank(line, at)) at++;
    if (at === line.length) return words;
    const start = at;
    let quoted = false;
    while (at < line.length && !isBlank(line, at)) {
      if (line.charCodeAt(at) === QUOTE) {
        quoted = true;
        at = closingQuote(line, at);
      }
      at++;
    }
    const word = line.slice(start, at);
    words.push(quoted ? word.replace(QUOTED, unquote) : word);
  }
}

function isBlank(line: string, at: number): boolean {
  const code = line.charCodeAt(at);
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  return line.charAt(at).trim() === "";
}

/** Where the quote that opens at `open` closes. */
function closingQuote(line: string, open: number): number {
  for (let at = open + 1; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at++;
  }
  throw parameterProblem(`quote not closed in \`${line.trim()}'`);
}

function unquote(_: string, quoted: string): string {
  return quoted.includes("\\") ? quoted.replace(/\\([\s\S])/g, "$1") : quoted;
}

/** A string as iptables-save prints it (`xtables_save_string`): in quotes unless it is a plain word. */
export function quoteWord(word: string): string {
  return /^[A-Za-z0-9_-]+$/.test(word) ? word : `"${word.replace(/["'\\]/g, "\\$&")}"`;
}
