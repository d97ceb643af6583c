import type { Direction, Policy, Tier } from "@cnilab/network-policy";
import type { PolicyId } from "../calc/messages.ts";
import type { ModelPolicy } from "../conversion/model.ts";
import { compareUtf8 } from "../selector/compare-utf8.ts";
import type { GivenPolicy } from "./given-policies.ts";
import type { HostEndpoints } from "./host-endpoints.ts";
import type { CalicoRule, RuleTerms } from "./rule-terms.ts";
import type { SelectorTerms } from "./selector-terms.ts";
import type { Phase } from "./tiers.ts";

/** A policy that knows what Felix calls it. */
export interface CalicoPolicy extends Policy {
  readonly id: PolicyId;
  readonly ingress?: readonly CalicoRule[];
  readonly egress?: readonly CalicoRule[];
}

/** When it is asked. */
export function phaseOf({ doNotTrack, preDnat }: ModelPolicy): Phase {
  return doNotTrack ? "doNotTrack" : preDnat ? "preDNAT" : "normal";
}

/** A policy of Felix in the one form of all policies. @throws SelectorError */
export function calicoPolicy(
  given: GivenPolicy,
  tier: Tier,
  selectors: SelectorTerms,
  rules: RuleTerms,
  hosts: HostEndpoints,
): CalicoPolicy {
  const { object, id, model } = given;
  const phase = phaseOf(model);
  const endpoints = selectors.subject(model.selector);
  const rulesOf = (direction: Direction) => {
    const list = direction === "ingress" ? model.inboundRules : model.outboundRules;
    return list.flatMap((rule, index) =>
      rules.of(rule, { path: given.paths[direction][index] as string, direction, index }),
    );
  };
  return {
    object,
    id,
    tier,
    priority: model.order ?? Infinity,
    // Pods take only normal policies (`felix/calc/policy_resolver.go`).
    subject:
      phase === "normal" ? endpoints : { kind: "all", of: [endpoints, hosts.withPhase(phase)] },
    ...(applies(model, "ingress") && { ingress: rulesOf("ingress") }),
    ...(applies(model, "egress") && { egress: rulesOf("egress") }),
  };
}

function applies({ types, preDnat }: ModelPolicy, direction: Direction): boolean {
  if (preDnat && direction === "egress") return false;
  return types.length === 0 || types.includes(direction);
}

/** By tier, then order, then name, namespace and kind (`felix/calc/policy_sorter.go` PolKVLess). */
export function comparePolicies(x: CalicoPolicy, y: CalicoPolicy): number {
  if (x.tier.order !== y.tier.order) return x.tier.order - y.tier.order;
  if (x.priority !== y.priority) return x.priority - y.priority;
  return compareUtf8(textOf(x.id), textOf(y.id));
}

function textOf({ name, namespace = "", kind }: PolicyId): string {
  return `${name}/${namespace}/${kind}`;
}
