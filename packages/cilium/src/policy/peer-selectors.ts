import type { LabelSelectorRequirement } from "@cnilab/core";
import { cidrRuleSelectors, cidrSelectors } from "../labels/cidr-selectors.ts";
import type { EndpointSelector } from "../labels/endpoint-selector.ts";
import { entitySelectors, reservedSelector } from "./entities.ts";
import type { PeerRule } from "./policy-rule.ts";
import type { PolicySettings } from "./policy-settings.ts";

/**
 * Selectors of a rule's peers; `undefined` where the rule selects nobody, as a list without items does, and none where it says
 * nothing of peers (pkg/policy/api/ingress.go, egress.go GetSourceEndpointSelectorsWithRequirements).
 * @param requirements what all endpoints of all rules must have
 */
export function peerSelectors(
  rule: PeerRule,
  requirements: readonly LabelSelectorRequirement[],
  { clusterName, dualStack }: PolicySettings,
): readonly EndpointSelector[] | undefined {
  const { endpoints, nodes, cidrs, cidrRules, entities, fqdns = [] } = rule;
  const lists: readonly (readonly unknown[] | undefined)[] = [endpoints, nodes];
  // Names of DNS make up for other lists: the agent adds theirs after it has looked.
  const others = fqdns.length > 0 ? [] : [cidrs, cidrRules, entities];
  if ([...lists, ...others].some((list) => list !== undefined && list.length === 0)) {
    return undefined;
  }
  const selectors: EndpointSelector[] = [];
  if (requirements.length > 0 && endpoints !== undefined) {
    // The agent forgets nodes there, but a rule has no endpoints beside nodes.
    selectors.push(...endpoints.map((each) => each.withExpressions(requirements)));
  } else {
    selectors.push(...(endpoints ?? []), ...(nodes ?? []));
  }
  for (const entity of entities ?? []) selectors.push(...entitySelectors(entity, clusterName));
  selectors.push(...cidrSelectors(cidrs ?? [], dualStack));
  selectors.push(...cidrRuleSelectors(cidrRules ?? [], dualStack));
  // Names alone select nobody until DNS tells of addresses.
  if (fqdns.length > 0) selectors.push(reservedSelector("none"));
  return selectors;
}

/** What `requires` of all rules of a section come to. */
export function requirementsOf(rules: readonly PeerRule[]): readonly LabelSelectorRequirement[] {
  return rules.flatMap(({ requires = [] }) => requires.flatMap((each) => each.toExpressions()));
}
