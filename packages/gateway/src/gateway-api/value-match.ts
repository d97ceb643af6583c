import type { ValueMatch } from "@cnilab/core";
import { wholePattern } from "../routing/regular-expression.ts";

/** A header or a query parameter that a request must have. */
export interface CompiledValue {
  readonly name: string;
  readonly matches: (value: string) => boolean;
}

/** Of names that are equal, the first counts. @throws PatternError */
export function compileValues(
  given: readonly ValueMatch[] | undefined,
  nameOf: (name: string) => string,
  field: string,
): CompiledValue[] {
  const compiled = new Map<string, CompiledValue>();
  (given ?? []).forEach(({ type = "Exact", name, value }, i) => {
    const key = nameOf(name);
    if (compiled.has(key)) return;
    const matches =
      type === "Exact"
        ? (text: string) => text === value
        : patternOf(value, `${field}[${i}].value`);
    compiled.set(key, { name: key, matches });
  });
  return [...compiled.values()];
}

/** A regular expression that RE2 cannot read. */
export class PatternError extends Error {}

/** @throws PatternError */
export function patternOf(pattern: string, field: string): (text: string) => boolean {
  const matches = wholePattern(pattern);
  if (matches === undefined) {
    throw new PatternError(`${field}: ${JSON.stringify(pattern)} is no regular expression (RE2)`);
  }
  return matches;
}
