import type { Direction, Policy, Rule } from "./policy.ts";

/** A rule of a policy. */
export interface PolicyRule {
  readonly policy: Policy;
  readonly rule: Rule;
}

/** The rules of a tier's policies, in the order in which they are asked: by rank, then as policies and rules stand. */
export function rulesInOrder(
  policies: readonly Policy[],
  direction: Direction,
): readonly PolicyRule[] {
  const rules = policies.flatMap((policy) =>
    (policy[direction] ?? []).map((rule) => ({ policy, rule })),
  );
  return rules.some(({ rule }) => rule.rank !== undefined) ? rules.sort(byRank) : rules;
}

function byRank({ rule: x }: PolicyRule, { rule: y }: PolicyRule): number {
  return (x.rank ?? 0) - (y.rank ?? 0);
}
