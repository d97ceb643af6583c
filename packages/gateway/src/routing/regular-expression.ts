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

/** A pattern as nginx (PCRE) reads it, without regard to case; `undefined` where it cannot be read. */
export function nginxPattern(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern.replaceAll("(?P<", "(?<"), "i");
  } catch {
    return undefined;
  }
}
