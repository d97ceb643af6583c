import type { Comparison, ReachDifference } from "./comparison.ts";
import { nameOf } from "./heading.ts";
import { alike, listed, pick, pickAny } from "./names-in-text.ts";
import { pairName } from "./pair-sample.ts";

/** Kinds of differences that a screen has room for. */
const MOST_DIFFERENCES = 3;
const MOST_BLOCKERS = 5;

/** Who enforces policies, and which pairs fare differently because of which. */
export function explainReach(comparison: Comparison, short: (text: string) => string): string {
  const { findings, differences, sample } = comparison;
  const names = findings.map(nameOf);
  const idle = alike(findings, ({ policies }) => policies.idleKinds.join()).flatMap((group) => {
    const kinds = findings[group[0] as number]?.policies.idleKinds ?? [];
    if (kinds.length === 0) return [];
    return [`Nobody enforces ${listed(kinds)} on ${pickAny(names, group)}.`];
  });
  const told = differences.slice(0, MOST_DIFFERENCES).map((each) => difference(each, names, short));
  const rest = differences
    .slice(MOST_DIFFERENCES)
    .reduce((sum, { pairs }) => sum + pairs.length, 0);
  if (rest > 0) told.push(`${rest} further pairs differ in other ways; -o json has them all.`);
  if (sample.pairs.length === 0)
    told.push("No pair to walk: no port is declared that another running workload could ask.");
  else if (differences.length === 0) told.push("Every pair fares the same on each.");
  return [...idle, ...told].join(" ");
}

function difference(
  { verdicts, pairs, blockers }: ReachDifference,
  names: readonly string[],
  short: (text: string) => string,
): string {
  const fates = verdicts.map((verdict, i) => {
    const of = blockers[i] ?? [];
    const some = of.slice(0, MOST_BLOCKERS).map(([name, count]) => `${short(name)} ${count}`);
    const more = of.length > some.length ? [`${of.length - some.length} more`] : [];
    return { verdict, by: some.length === 0 ? "" : ` by ${[...some, ...more].join(", ")}` };
  });
  const texts = alike(fates, ({ verdict, by }) => verdict + by).map((group) => {
    const { verdict, by } = fates[group[0] as number] as (typeof fates)[number];
    return `${FATES[verdict] ?? verdict} on ${pick(names, group)}${by}`;
  });
  const example = pairs[0] === undefined ? "" : `, as ${short(pairName(pairs[0]))}`;
  const count = pairs.length === 1 ? "1 pair" : `${pairs.length} pairs`;
  return `${count}${example}: ${texts.join("; ")}.`;
}

const FATES: Readonly<Record<string, string>> = {
  allowed: "through",
  "not running": "an end does not run",
};
