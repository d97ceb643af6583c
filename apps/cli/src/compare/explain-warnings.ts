import type { Comparison } from "./comparison.ts";
import type { Finding } from "./finding.ts";
import { nameOf } from "./heading.ts";
import { alike, pick } from "./names-in-text.ts";

/** Warnings that a screen has room for. */
const MOST_WARNINGS = 3;

/** What `run` warns of on each CNI, but for kinds of policies that nobody enforces: those are told with the pairs. */
export function explainWarnings({ findings }: Comparison): string {
  const names = findings.map(nameOf);
  const all = findings.flatMap((finding, i) => warningsOf(finding).map((text) => ({ i, text })));
  const texts = alike(all, ({ text }) => text).map((group) => {
    const whose = group.map((each) => (all[each] as (typeof all)[number]).i);
    return `${pick(names, whose)}: ${(all[group[0] as number] as (typeof all)[number]).text}`;
  });
  const rest = texts.length - MOST_WARNINGS;
  const more = rest > 0 ? [`${rest} more; -o json has them all`] : [];
  const told = [...texts.slice(0, MOST_WARNINGS), ...more];
  return told.length === 0 ? "" : `${told.join(". ")}.`;
}

function warningsOf({ warnings, policies }: Finding): string[] {
  return [...new Set(warnings)].filter(
    (warning) => !policies.idleKinds.some((kind) => warning.startsWith(`${kind} `)),
  );
}
