import type { Comparison } from "./comparison.ts";
import { explainReach } from "./explain-reach.ts";
import { explainRules } from "./explain-rules.ts";
import { explainSources } from "./explain-sources.ts";
import { explainState } from "./explain-state.ts";
import { explainWarnings } from "./explain-warnings.ts";
import { explainTunnels, explainWay } from "./explain-way.ts";

/** Why something differs, for a person who sees the table. */
export interface Explanation {
  /** A word for what it is about; the name of a CNI where it is about that alone. */
  readonly topic: string;
  readonly text: string;
}

/** Each says what was found, never what a CNI of that name does elsewhere. */
export function explanations(
  comparison: Comparison,
  short: (text: string) => string,
): Explanation[] {
  return [
    { topic: "policies", text: explainReach(comparison, short) },
    ...explainWay(comparison),
    { topic: "bytes", text: explainTunnels(comparison) },
    { topic: "rules", text: explainRules(comparison) },
    { topic: "state", text: explainState(comparison) },
    { topic: "sources", text: explainSources(comparison) },
    { topic: "warnings", text: explainWarnings(comparison) },
  ].filter(({ text }) => text !== "");
}
