import type { PolicyEndpoint, SideVerdict } from "@cnilab/network-policy";
import { NAMESPACE_PROFILE_PREFIX } from "../conversion/labels.ts";
import type { CalicoPolicy } from "./calico-policy.ts";
import type { CalicoRule } from "./rule-terms.ts";

/** A rule that said something, as Calico's flow logs name it (`felix/calc/ruleid.go`). */
export interface RuleHit {
  readonly tier: string;
  /** As the object's kind; converted ones have kinds of their own. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Place in the policy's rules of the direction; -1 for the end of the tier. */
  readonly index: number;
  readonly action: "Allow" | "Deny" | "Pass";
}

/** The rules that made a verdict about an endpoint, tier by tier (`app-policy/checker/check.go` checkTiers). */
export function ruleHits({ steps }: SideVerdict, { pod }: PolicyEndpoint): readonly RuleHit[] {
  const hits = steps.map(({ tier, selecting, rule, says }): RuleHit => {
    // The end of a tier is told of its first policy.
    const { id } = (rule?.policy ?? selecting[0]) as CalicoPolicy;
    const { kind, namespace = "", name } = id;
    const index = rule === undefined ? -1 : (rule.rule as CalicoRule).index;
    return { tier: tier.name, kind, namespace, name, index, action: says };
  });
  if (pod === undefined || steps.some(({ says }) => says !== "Pass")) return hits;
  const name = NAMESPACE_PROFILE_PREFIX + pod.namespace;
  const profile = { tier: "__PROFILE__", kind: "Profile", namespace: "", name } as const;
  return [...hits, { ...profile, index: 0, action: "Allow" }];
}
