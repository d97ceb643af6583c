import { RE2JS } from "re2js";

/** Longest pattern that CoreDNS compiles. */
const MAX_LENGTH = 10_000;

export interface GoMatch {
  /** What each group has, the whole first; empty where a group took no part. */
  readonly groups: readonly string[];
  readonly named: Readonly<Record<string, string>>;
}

/** A pattern of Go's regexp package, which is RE2: it takes linear time whatever it is given. */
export class GoPattern {
  readonly source: string;
  readonly #pattern: RE2JS;

  private constructor(source: string, pattern: RE2JS) {
    this.source = source;
    this.#pattern = pattern;
  }

  /** @returns undefined where it is no pattern */
  static compile(source: string): GoPattern | undefined {
    if (source.length > MAX_LENGTH) return undefined;
    try {
      return new GoPattern(source, RE2JS.compile(source));
    } catch {
      // Its errors have no common class.
      return undefined;
    }
  }

  /** How many groups it has, the whole not counted. */
  get groupCount(): number {
    return this.#pattern.groupCount();
  }

  test(text: string): boolean {
    return this.#pattern.matcher(text).find();
  }

  /** The first match. */
  exec(text: string): GoMatch | undefined {
    const matcher = this.#pattern.matcher(text);
    if (!matcher.find()) return undefined;
    const groups = Array.from({ length: this.groupCount + 1 }, (_, i) => matcher.group(i) ?? "");
    const named = Object.entries(this.#pattern.namedGroups()).map(([name, i]): [string, string] => [
      name,
      groups[i] ?? "",
    ]);
    return { groups, named: Object.fromEntries(named) };
  }
}
