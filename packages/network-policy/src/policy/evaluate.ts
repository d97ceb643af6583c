import type { Protocol } from "@cnilab/core";
import {
  DEFAULT_SETTINGS,
  type PolicySettings,
  peerMatches,
  portMatches,
  termSelects,
} from "./match.ts";
import type { Direction, Policy, Rule, Tier } from "./policy.ts";
import type { PolicyEndpoint } from "./policy-endpoint.ts";

/** A new connection to an endpoint's own address. */
export interface PolicyFlow {
  readonly source: PolicyEndpoint;
  readonly destination: PolicyEndpoint;
  readonly protocol: Protocol;
  /** Destination port, 1 to 65535. */
  readonly port: number;
}

/** What one tier said of one side of a flow. */
export interface TierStep {
  readonly tier: Tier;
  /** Policies of the tier that select the endpoint for this direction. */
  readonly selecting: readonly Policy[];
  /** The rule that fits first; absent where none does. */
  readonly rule?: { readonly policy: Policy; readonly rule: Rule };
  /** `Pass`: the next tier is asked. */
  readonly says: "Allow" | "Deny" | "Pass";
}

/** What policies say on one side of a flow, and which of them. */
export interface SideVerdict {
  readonly allowed: boolean;
  /** The tiers that were asked and in which a policy selects the endpoint; the last has decided, unless it passes. */
  readonly steps: readonly TierStep[];
}

export interface FlowVerdict {
  readonly allowed: boolean;
  readonly egress: SideVerdict;
  readonly ingress: SideVerdict;
}

const NOT_SELECTED: SideVerdict = { allowed: true, steps: [] };

/** Asks every policy, as the API texts say it. `policies` are in order, as {@link readPolicies} gives them. */
export function evaluate(
  policies: readonly Policy[],
  flow: PolicyFlow,
  settings: PolicySettings = DEFAULT_SETTINGS,
): FlowVerdict {
  // A pod cannot be cut off from itself (API text of NetworkPolicy, and the upstream tests).
  const own = flow.source.pod !== undefined && flow.source.name === flow.destination.name;
  const egress = own ? NOT_SELECTED : evaluateSide(policies, "egress", flow, settings);
  const ingress = own ? NOT_SELECTED : evaluateSide(policies, "ingress", flow, settings);
  return { allowed: egress.allowed && ingress.allowed, egress, ingress };
}

/** One side: the source's for `egress`, the destination's for `ingress`. */
export function evaluateSide(
  policies: readonly Policy[],
  direction: Direction,
  flow: PolicyFlow,
  settings: PolicySettings = DEFAULT_SETTINGS,
): SideVerdict {
  const subject = direction === "egress" ? flow.source : flow.destination;
  const selecting = policies.filter(
    (policy) => policy[direction] !== undefined && termSelects(policy.subject, subject),
  );
  return askTiers(selecting, direction, (rule) => ruleMatches(rule, direction, flow, settings));
}

/**
 * What policies that select an endpoint say, tier by tier.
 * @param fits whether a rule is about what is asked
 */
export function askTiers(
  selecting: readonly Policy[],
  direction: Direction,
  fits: (rule: Rule) => boolean,
): SideVerdict {
  const steps: TierStep[] = [];
  for (const tier of ["Admin", "NetworkPolicy", "Baseline"] as const) {
    const ofTier = selecting.filter((policy) => policy.tier === tier);
    if (ofTier.length === 0) continue;
    const step = askTier(tier, ofTier, direction, fits);
    steps.push(step);
    if (step.says !== "Pass") return { allowed: step.says === "Allow", steps };
  }
  return { allowed: true, steps };
}

function askTier(
  tier: Tier,
  selecting: readonly Policy[],
  direction: Direction,
  fits: (rule: Rule) => boolean,
): TierStep {
  for (const policy of selecting) {
    const rule = policy[direction]?.find(fits);
    if (rule !== undefined) return { tier, selecting, rule: { policy, rule }, says: rule.action };
  }
  // Who is selected by a NetworkPolicy may only what one allows.
  return { tier, selecting, says: tier === "NetworkPolicy" ? "Deny" : "Pass" };
}

function ruleMatches(
  { peers, ports }: Rule,
  direction: Direction,
  { source, destination, protocol, port }: PolicyFlow,
  settings: PolicySettings,
): boolean {
  const peer = direction === "egress" ? destination : source;
  return (
    (peers?.some((term) => peerMatches(term, peer, settings)) ?? true) &&
    (ports?.some((term) => portMatches(term, destination, protocol, port)) ?? true)
  );
}
