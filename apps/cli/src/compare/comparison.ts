import type { Finding, NodePortFinding, Pair, PairOutcome, WalkFinding } from "./finding.ts";
import { type PairSample, pairName } from "./pair-sample.ts";
import { NOT_RUNNING } from "./reach-outcomes.ts";

/** Several findings, with what of them stands beside each other. */
export interface Comparison {
  readonly findings: readonly Finding[];
  readonly sample: PairSample;
  readonly sameNode: Compared<WalkFinding> | undefined;
  readonly acrossNodes: Compared<WalkFinding> | undefined;
  readonly nodePort: Compared<NodePortFinding> | undefined;
  readonly differences: readonly ReachDifference[];
}

/** The same on each CNI, `undefined` where it did not get through. */
export interface Compared<T> {
  readonly name: string;
  readonly found: readonly (T | undefined)[];
}

/** Pairs to which the same happened on each CNI, and not on all the same. */
export interface ReachDifference {
  /** One for each CNI. */
  readonly verdicts: readonly string[];
  readonly pairs: readonly Pair[];
  /** For each CNI how many of the pairs an object blocks, the most first. */
  readonly blockers: readonly (readonly (readonly [name: string, pairs: number])[])[];
}

export function compare(findings: readonly Finding[], sample: PairSample): Comparison {
  return {
    findings,
    sample,
    sameNode: choose(findings, "sameNode", () => 0),
    acrossNodes: choose(findings, "acrossNodes", ({ service }) => (service === undefined ? 0 : 1)),
    nodePort: choose(
      findings,
      "nodePorts",
      ({ cluster, local }) => answered(cluster.verdict) + answered(local.verdict),
    ),
    differences: reachDifferences(findings, sample),
  };
}

function answered(verdict: string): number {
  return verdict === "allowed" ? 1 : 0;
}

/** What most CNIs have, then what has the most to it, then the first that was found. */
function choose<K extends "sameNode" | "acrossNodes" | "nodePorts">(
  findings: readonly Finding[],
  key: K,
  worth: (value: Value<K>) => number,
): Compared<Value<K>> | undefined {
  const scores = new Map<string, number>();
  for (const finding of findings) {
    for (const [name, value] of finding[key] as ReadonlyMap<string, Value<K>>) {
      // One more CNI counts for more than anything there may be to one.
      scores.set(name, (scores.get(name) ?? 0) + 10 + worth(value));
    }
  }
  let best: string | undefined;
  for (const [name, score] of scores) {
    const least = best === undefined ? 0 : (scores.get(best) as number);
    if (score > least || (key !== "nodePorts" && score === least && name < (best as string))) {
      best = name;
    }
  }
  if (best === undefined) return undefined;
  const name = best;
  return {
    name,
    found: findings.map((f) => (f[key] as ReadonlyMap<string, Value<K>>).get(name)),
  };
}

type Value<K extends "sameNode" | "acrossNodes" | "nodePorts"> =
  Finding[K] extends ReadonlyMap<string, infer V> ? V : never;

function reachDifferences(findings: readonly Finding[], { pairs }: PairSample): ReachDifference[] {
  const groups = new Map<string, { readonly pairs: Pair[]; readonly outcomes: PairOutcome[][] }>();
  pairs.forEach((pair, i) => {
    const outcomes = findings.map(({ reach }) => reach[i] ?? NOT_RUNNING);
    const verdicts = outcomes.map(({ verdict }) => verdict);
    if (new Set(verdicts).size < 2) return;
    const key = JSON.stringify(verdicts);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { pairs: [pair], outcomes: [outcomes] });
    else {
      known.pairs.push(pair);
      known.outcomes.push(outcomes);
    }
  });
  return [...groups]
    .map(([key, { pairs: those, outcomes }]) => ({
      verdicts: JSON.parse(key) as string[],
      pairs: those.sort((x, y) => (pairName(x) < pairName(y) ? -1 : 1)),
      blockers: findings.map((_, i) => countBlockers(outcomes.map((of) => of[i]))),
    }))
    .sort((x, y) => y.pairs.length - x.pairs.length);
}

function countBlockers(outcomes: readonly (PairOutcome | undefined)[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const blockedBy of outcomes.flatMap((outcome) => outcome?.blockedBy ?? [])) {
    counts.set(blockedBy, (counts.get(blockedBy) ?? 0) + 1);
  }
  return [...counts].sort(([x, m], [y, n]) => n - m || (x < y ? -1 : 1));
}
