import { parseSelector, SelectorError } from "../../src/index.ts";
import type { GoldenRun } from "./golden-run.ts";

/** A line of `selectors.ndjson`. */
interface SelectorVector {
  readonly selector: string;
  readonly valid: boolean;
  readonly error?: string;
  readonly canonical?: string;
  readonly uniqueId?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly match?: boolean;
}

/** Selectors as the real parser reads, hashes and matches them. */
export const selectors: GoldenRun<SelectorVector> = (vector) => {
  const want = vector.valid
    ? { canonical: vector.canonical, uniqueId: vector.uniqueId, match: vector.match }
    : { error: vector.error };
  const got = outcome(vector);
  return JSON.stringify(want) === JSON.stringify(got)
    ? undefined
    : `${vector.selector}\nwant ${JSON.stringify(want)}\ngot ${JSON.stringify(got)}`;
};

function outcome({ selector: text, labels }: SelectorVector): unknown {
  try {
    const selector = parseSelector(text);
    const { canonical, uniqueId } = selector;
    return { canonical, uniqueId, match: selector.matches(new Map(Object.entries(labels ?? {}))) };
  } catch (error) {
    if (error instanceof SelectorError) return { error: error.message };
    throw error;
  }
}
