import {
  type Direction,
  type PolicyRule,
  policyName,
  ruleName,
  type SideVerdict,
  type TierStep,
} from "@cnilab/network-policy";

/** Tier by tier, why one side allows or denies. */
export function sideText(
  direction: Direction,
  who: string,
  { allowed, steps }: SideVerdict,
): readonly string[] {
  const head = `${direction} at ${who}: ${allowed ? "allowed" : "denied"}`;
  if (steps.length === 0)
    return [head, `  no policy selects it for ${direction}, so everything is allowed`];
  const lines = steps.flatMap((step) => [...step.logged.map(logText), stepText(step)]);
  const decided = steps.at(-1)?.says !== "Pass";
  return [head, ...lines, ...(decided ? [] : ["  no tier decides, so it is allowed"])];
}

function logText({ policy, rule }: PolicyRule): string {
  return `  ${policy.tier.name} tier: logged by ${ruleName({ policy, rule })}`;
}

function stepText({ tier, told, rule, says }: TierStep): string {
  const names = told.map(policyName).join(", ");
  if (rule !== undefined) {
    const named = rule.rule.name === undefined ? "" : ` "${rule.rule.name}"`;
    const provided =
      rule.rule.provided === undefined ? "" : `, provided that ${rule.rule.provided}`;
    return `  ${tier.name} tier: ${says} by ${rule.rule.path}${named} of ${policyName(rule.policy)}${provided}`;
  }
  if (says === "Deny")
    return `  ${tier.name} tier: Deny: selected by ${names}, and no rule of it lets this through`;
  return `  ${tier.name} tier: no rule of ${names} is about this`;
}
