/** A text that a pattern describes, as far as it begins with plain letters: what stands before its first operator. */
function literalStart(pattern: string): string {
  const start = /^\^?((?:[^\\^$.*+?()[\]{}|]|\\[^A-Za-z0-9])*)/.exec(pattern)?.[1] ?? "";
  const next = pattern.slice(pattern.indexOf(start) + start.length)[0] ?? "";
  // What a quantifier follows may be missing.
  const sure = "*?{".includes(next) && next !== "" ? start.slice(0, -1) : start;
  return sure.replace(/\\(.)/g, "$1");
}

/** Texts that a pattern may describe. */
export function patternSamples(pattern: string): readonly string[] {
  const plain = pattern
    .replace(/^\^|\$$/g, "")
    .replace(/\(\?[:=!<][^)]*\)/g, "")
    .replace(/\\d[+*]?|\[0-9\][+*]?/g, "7")
    .replace(/\\w[+*]?|\[[^\]]*\][+*]?|\.[+*]?/g, "x")
    .replace(/\(([^()|]*)(\|[^()]*)?\)[?*+]?/g, "$1")
    .replace(/[()|?*+$^{}\\]/g, "");
  return [...new Set([literalStart(pattern), plain])];
}
