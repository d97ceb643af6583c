import type { Comparison } from "./comparison.ts";
import { explainReach } from "./explain-reach.ts";
import { explainRules } from "./explain-rules.ts";
import { explainSources } from "./explain-sources.ts";
import { explainState } from "./explain-state.ts";
import { explainWay } from "./explain-way.ts";

/** Sentences for a person who sees the table: each says what was found, never what a CNI of that name does elsewhere. */
export function explanations(comparison: Comparison, short: (text: string) => string): string[] {
  return [
    ...explainReach(comparison, short),
    ...explainWay(comparison),
    ...explainRules(comparison),
    ...explainState(comparison),
    ...explainSources(comparison),
  ];
}
