import { RE2JS } from "re2js";

/** Whether a whole text is what a pattern describes; `undefined` where RE2 cannot read the pattern. */
export function wholePattern(pattern: string): ((text: string) => boolean) | undefined {
  try {
    const compiled = RE2JS.compile(pattern);
    return (text) => compiled.testExact(text);
  } catch {
    return undefined;
  }
}

/** The first place where a pattern matches: the text there and its groups; `undefined` where it does not. */
export type PatternSearch = (text: string) => readonly (string | undefined)[] | undefined;

/**
 * A pattern as nginx reads it (PCRE); `undefined` where it cannot be read. RE2 takes time in proportion to the text,
 * whatever the pattern, and finds the same; what it does not know, such as `(?!x)`, is left to the language's own.
 */
export function nginxPattern(pattern: string, ignoreCase: boolean): PatternSearch | undefined {
  try {
    const compiled = RE2JS.compile(pattern, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
    return (text) => {
      const matcher = compiled.matcher(text);
      if (!matcher.find()) return undefined;
      return Array.from(
        { length: matcher.groupCount() + 1 },
        (_, i) => matcher.group(i) ?? undefined,
      );
    };
  } catch {
    return backtracking(pattern, ignoreCase);
  }
}

function backtracking(pattern: string, ignoreCase: boolean): PatternSearch | undefined {
  try {
    const compiled = new RegExp(pattern.replaceAll("(?P<", "(?<"), ignoreCase ? "i" : "");
    return (text) => compiled.exec(text) ?? undefined;
  } catch {
    return undefined;
  }
}
