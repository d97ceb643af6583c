import type { Comparison, ReachDifference } from "./comparison.ts";
import { alike, listed } from "./names-in-text.ts";
import { pairName } from "./pair-sample.ts";

/** Kinds of differences that a screen has room for. */
const MOST_DIFFERENCES = 3;
const MOST_BLOCKERS = 6;

/** Who enforces policies, and which pairs fare differently because of which. */
export function explainReach(comparison: Comparison, short: (text: string) => string): string[] {
  const { findings, differences } = comparison;
  const names = findings.map(({ cni }) => cni.label);
  const idle = alike(findings, ({ policies }) => policies.idleKinds.join(" and ")).flatMap(
    (group) => {
      const kinds = findings[group[0] as number]?.policies.idleKinds ?? [];
      if (kinds.length === 0) return [];
      const who = listed(group.map((i) => names[i] as string));
      return [
        `${who} ${group.length > 1 ? "have" : "has"} nobody who enforces ${listed(kinds)}: such policies have no effect there.`,
      ];
    },
  );
  const told = differences.slice(0, MOST_DIFFERENCES).map((each) => difference(each, names, short));
  const rest = differences
    .slice(MOST_DIFFERENCES)
    .reduce((sum, { pairs }) => sum + pairs.length, 0);
  if (rest > 0) told.push(`${rest} further pairs differ in other ways: -o json has them all.`);
  if (differences.length === 0) told.push("Every pair fares the same on all of them.");
  return [...idle, ...told];
}

function difference(
  { verdicts, pairs, blockers }: ReachDifference,
  names: readonly string[],
  short: (text: string) => string,
): string {
  const fates = alike(verdicts, (verdict) => verdict).map((group) => {
    const who = listed(group.map((i) => names[i] as string));
    return `${FATES[verdicts[group[0] as number] as string] ?? "fare otherwise"} on ${who}`;
  });
  const blocking = alike(blockers, (of) => JSON.stringify(of)).flatMap((group) => {
    const of = blockers[group[0] as number] ?? [];
    if (of.length === 0) return [];
    const more = of.length > MOST_BLOCKERS ? `, ${of.length - MOST_BLOCKERS} more` : "";
    const text = `${of
      .slice(0, MOST_BLOCKERS)
      .map(([name, count]) => `${short(name)} ${count}`)
      .join(", ")}${more}`;
    return [{ who: listed(group.map((i) => names[i] as string)), text }];
  });
  const several = blocking.length > 1;
  const by = blocking.map(({ who, text }) => `${several ? `on ${who} ` : ""}by ${text}`);
  const count = pairs.length === 1 ? "1 pair" : `${pairs.length} pairs`;
  const example = pairs[0] === undefined ? "" : ` One is ${short(pairName(pairs[0]))}.`;
  return `${count}: ${fates.join(", ")}${by.length > 0 ? `, ${by.join("; ")}` : ""}.${pairs.length > 1 ? example : ` It is${example.slice(7)}`}`;
}

const FATES: Readonly<Record<string, string>> = {
  allowed: "get through",
  blocked: "are blocked",
  refused: "are refused",
  unreachable: "find no way",
  stalls: "stall",
  unresolved: "have no address",
  "not running": "have an end that does not run",
};
