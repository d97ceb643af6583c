import type { PolicyId, TierDefaultAction, TierInfo } from "../calc/messages.ts";
import {
  type PolicyDirection,
  policyChainName,
  policyGroupChainName,
} from "../names/chain-names.ts";
import { isStaged } from "../names/policy-id.ts";
import { jump, markClear, markNotClear, RETURN, type TableChain, type TableRule } from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

/** Neighbours in a tier that select the same endpoints: whoever has one of them has all (`felix/rules/endpoints.go` PolicyGroup). */
export interface PolicyGroup {
  readonly direction: PolicyDirection;
  readonly selector: string;
  readonly policies: readonly PolicyId[];
}

/** A tier with its policies in groups. */
export interface TierGroups {
  readonly name: string;
  readonly defaultAction?: TierDefaultAction;
  readonly inbound: readonly PolicyGroup[];
  readonly outbound: readonly PolicyGroup[];
}

/** All but staged ones. */
export function enforcedOf({ policies }: PolicyGroup): readonly PolicyId[] {
  return policies.filter(({ kind }) => !isStaged(kind));
}

/** Whether its policies stand in a chain of their own: for a single one that would not pay. */
export function hasOwnChain(group: PolicyGroup): boolean {
  return enforcedOf(group).length > 1;
}

export function groupChainName(group: PolicyGroup): string {
  return policyGroupChainName(group.selector, group.direction, group.policies);
}

/** Chains that an endpoint goes through for a group. */
export function chainsOfGroup(group: PolicyGroup, config: RulesConfig): string[] {
  if (hasOwnChain(group)) return [groupChainName(group)];
  return enforcedOf(group).map((id) => policyChainName(id, group.direction, config.backend));
}

/** After so many policies a chain asks whether one of them has decided. */
const RETURN_STRIDE = 5;

/** `felix/rules/endpoints.go` PolicyGroupToIptablesChains. */
export function policyGroupChain(group: PolicyGroup, config: RulesConfig): TableChain {
  const verdict = (config.marks.pass | config.marks.accept) >>> 0;
  const rules: TableRule[] = [];
  let count = 0;
  for (const id of group.policies) {
    if (isStaged(id.kind)) continue;
    const isFirst = count % RETURN_STRIDE === 0;
    if (isFirst && count > 0) {
      rules.push({
        comments: ["Return on verdict"],
        matches: [markNotClear(verdict)],
        action: RETURN,
      });
    }
    rules.push({
      matches: isFirst ? [] : [markClear(verdict)],
      action: jump(policyChainName(id, group.direction, config.backend)),
    });
    count++;
  }
  return { name: groupChainName(group), rules };
}

/** Puts neighbours with the same selector together. @param selectorOf the text of a policy's selector */
export function groupTiers(
  tiers: readonly TierInfo[],
  selectorOf: (id: PolicyId) => string,
): TierGroups[] {
  return tiers.map((tier) => ({
    name: tier.name,
    ...(tier.defaultAction !== undefined && { defaultAction: tier.defaultAction }),
    inbound: groupPolicies("inbound", tier.ingressPolicies, selectorOf),
    outbound: groupPolicies("outbound", tier.egressPolicies, selectorOf),
  }));
}

function groupPolicies(
  direction: PolicyDirection,
  all: readonly PolicyId[],
  selectorOf: (id: PolicyId) => string,
): PolicyGroup[] {
  const groups: { direction: PolicyDirection; selector: string; policies: PolicyId[] }[] = [];
  for (const id of all) {
    const selector = selectorOf(id);
    const last = groups.at(-1);
    if (last?.selector === selector) last.policies.push(id);
    else groups.push({ direction, selector, policies: [id] });
  }
  return groups;
}
