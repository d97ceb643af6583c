/** Longest pattern that CoreDNS compiles. */
const MAX_LENGTH = 10_000;

/**
 * A pattern in Go's syntax (RE2) as JavaScript's. The two agree on what CoreDNS' documentation uses; what differs is
 * translated: `(?P<name>…)`, `(?i)` at the start, `\z`, `\A` and character classes such as `[[:alpha:]]`.
 * @returns undefined where it is no pattern, or one that RE2 would refuse (look-around, back references)
 */
export function compileGoRegexp(pattern: string): RegExp | undefined {
  if (pattern.length > MAX_LENGTH || /\(\?<?[=!]|\\[1-9]|\\k</.test(pattern)) return undefined;
  let flags = "";
  let source = pattern;
  const prefix = /^\(\?([imsU]+)\)/.exec(source);
  if (prefix !== null) {
    if ((prefix[1] as string).includes("U")) return undefined;
    flags = [...new Set(prefix[1])].join("");
    source = source.slice(prefix[0].length);
  }
  source = source
    .replaceAll("(?P<", "(?<")
    .replaceAll("\\z", "$")
    .replaceAll("\\A", "^")
    .replace(/\[:(\^?)(\w+):\]/g, (_, not, name) => (not === "" ? (CLASSES[name] ?? "") : ""));
  try {
    return new RegExp(source, flags);
  } catch {
    return undefined;
  }
}

const CLASSES: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  digit: "0-9",
  lower: "a-z",
  upper: "A-Z",
  space: "\\t\\n\\v\\f\\r ",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
  punct: "!-/:-@\\[-`{-~",
};

/** How many groups a pattern has. */
export function groupCount(pattern: RegExp): number {
  return (new RegExp(`${pattern.source}|`, pattern.flags).exec("")?.length ?? 1) - 1;
}
