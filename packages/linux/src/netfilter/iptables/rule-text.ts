/** The arguments of a rule as one text, quoted as for a shell where they have blanks or quotes. */
export function ruleText(words: readonly string[]): string {
  return words
    .map((word) => (/^[^\s"'\\]+$/.test(word) ? word : `"${word.replace(/["\\]/g, "\\$&")}"`))
    .join(" ");
}
