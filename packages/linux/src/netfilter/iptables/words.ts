import { parameterProblem } from "./iptables-error.ts";

/** A word: plain characters and quoted strings, in which a backslash goes before any character. */
const WORD = /(?:[^\s"]|"(?:[^"\\]|\\[\s\S])*")+/g;
const QUOTED = /"((?:[^"\\]|\\[\s\S])*)"/g;

/**
 * Splits a line into words: blanks part them, but not inside of double quotes, where a backslash takes
 * the next character as it is (`add_param_to_argv`, iptables 1.8.9). An open quote at the end, which the
 * tool lets pass with the rest of the line in it, is an error here.
 */
export function splitWords(line: string): string[] {
  if (!line.includes('"')) {
    const trimmed = line.trim();
    return trimmed === "" ? [] : trimmed.split(/\s+/);
  }
  const words: string[] = [];
  let end = 0;
  for (const { 0: word, index } of line.matchAll(WORD)) {
    checkBlank(line, end, index);
    end = index + word.length;
    words.push(word.includes('"') ? word.replace(QUOTED, unquote) : word);
  }
  checkBlank(line, end, line.length);
  return words;
}

function unquote(_: string, quoted: string): string {
  return quoted.includes("\\") ? quoted.replace(/\\([\s\S])/g, "$1") : quoted;
}

/** Only a quote that is not closed is neither blank nor part of a word. */
function checkBlank(line: string, from: number, to: number): void {
  if (line.indexOf('"', from) >= to || line.indexOf('"', from) < 0) return;
  throw parameterProblem(`quote not closed in \`${line.trim()}'`);
}

/** A string as iptables-save prints it (`xtables_save_string`): in quotes unless it is a plain word. */
export function quoteWord(word: string): string {
  return /^[A-Za-z0-9_-]+$/.test(word) ? word : `"${word.replace(/["'\\]/g, "\\$&")}"`;
}
