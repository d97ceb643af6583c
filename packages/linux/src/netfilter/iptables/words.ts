import { parameterProblem } from "./iptables-error.ts";

/**
 * Splits a line into words: blanks part them, but not inside of double quotes, where a backslash takes
 * the next character as it is (`add_param_to_argv`, iptables 1.8.9). An open quote at the end, which the
 * tool lets pass with the rest of the line in it, is an error here.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (char === '"') {
      quoted = !quoted;
      word ??= "";
    } else if (quoted) {
      if (char === "\\" && i + 1 < line.length) i++;
      word = (word ?? "") + line.charAt(i);
    } else if (char === " " || char === "\t" || char === "\n" || char === "\r") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + char;
    }
  }
  if (quoted) throw parameterProblem(`quote not closed in \`${line.trim()}'`);
  if (word !== undefined) words.push(word);
  return words;
}

/** A string as iptables-save prints it (`xtables_save_string`): in quotes unless it is a plain word. */
export function quoteWord(word: string): string {
  return /^[A-Za-z0-9_-]+$/.test(word) ? word : `"${word.replace(/["'\\]/g, "\\$&")}"`;
}
