/**
 * A regular expression of Go (RE2) as one of JavaScript: flags at its start, names of groups. What else there is in RE2 is written the
 * same way. @throws SyntaxError
 */
export function goExpression(text: string, flags = ""): RegExp {
  const [given = "", own = ""] = /^\(\?([ims]+)\)/.exec(text) ?? [];
  const pattern = text.slice(given.length).replaceAll("(?P<", "(?<");
  return new RegExp(pattern, [...new Set(flags + own)].join(""));
}
