import type { IpProtocol } from "./ip-protocol.ts";
import {
  areLocal,
  askedSides,
  DEFAULT_SETTINGS,
  EPHEMERAL_PORT,
  type PolicySettings,
  peerMatches,
  portMatches,
} from "./match.ts";
import type { Direction, Policy, PortTerm, Rule } from "./policy.ts";
import type { PolicyEndpoint } from "./policy-endpoint.ts";
import { type PolicyRule, rulesInOrder } from "./rule-order.ts";
import { byTier, closes, endOfTier, type Tier } from "./tier.ts";

/** A new connection to an endpoint's own address. */
export interface PolicyFlow {
  readonly source: PolicyEndpoint;
  readonly destination: PolicyEndpoint;
  readonly protocol: IpProtocol;
  /** Destination port, 1 to 65535; for ICMP its type and code as `icmpNumber`; 0 for what has neither. */
  readonly port: number;
  /** {@link EPHEMERAL_PORT} where it is left out. */
  readonly sourcePort?: number;
}

/** What one tier said of one side of a flow. */
export interface TierStep {
  readonly tier: Tier;
  /** Policies of the tier that select the endpoint for this direction. */
  readonly selecting: readonly Policy[];
  /** Those of them to tell people of, each object once: who denies what no rule fits, and otherwise who was asked. */
  readonly told: readonly Policy[];
  /** Rules that only log, before the one that decides. */
  readonly logged: readonly PolicyRule[];
  /** The rule that fits first; absent where none does. */
  readonly rule?: PolicyRule;
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

const NOT_ASKED: SideVerdict = { allowed: true, steps: [] };

/** Asks every policy, as the API texts say it. `policies` are in order, as {@link readPolicies} gives them. */
export function evaluate(
  policies: readonly Policy[],
  flow: PolicyFlow,
  settings: PolicySettings = DEFAULT_SETTINGS,
): FlowVerdict {
  const asked = askedSides(flow.source, flow.destination, settings);
  const egress = asked.egress ? evaluateSide(policies, "egress", flow, settings) : NOT_ASKED;
  const ingress = asked.ingress ? evaluateSide(policies, "ingress", flow, settings) : NOT_ASKED;
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
    (policy) => policy[direction] !== undefined && peerMatches(policy.subject, subject, settings),
  );
  return askTiers(selecting, direction, (rule) => ruleMatches(rule, direction, flow, settings));
}

/**
 * What policies that select an endpoint say, tier by tier. Where every tier passes it is allowed.
 * @param fits whether a rule is about what is asked
 */
export function askTiers(
  selecting: readonly Policy[],
  direction: Direction,
  fits: (rule: Rule) => boolean,
): SideVerdict {
  const steps: TierStep[] = [];
  for (const ofTier of byTier(selecting)) {
    const step = askTier(ofTier[0].tier, ofTier, direction, fits);
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
  const logged: PolicyRule[] = [];
  for (const each of rulesInOrder(selecting, direction)) {
    const { action } = each.rule;
    if (!fits(each.rule)) continue;
    if (action === "Log") logged.push(each);
    else return { tier, selecting, told: toTell(selecting), logged, rule: each, says: action };
  }
  const says = endOfTier(selecting, direction);
  const closing = selecting.filter((policy) => closes(policy, direction));
  return { tier, selecting, told: toTell(says === "Deny" ? closing : selecting), logged, says };
}

/** What a CNI does by itself is told where nobody wrote anything. */
function toTell(policies: readonly Policy[]): readonly Policy[] {
  const written = policies.filter(({ isBuiltIn }) => isBuiltIn !== true);
  const some = written.length > 0 ? written : policies;
  return [...new Map(some.map((policy) => [policy.object, policy])).values()];
}

function ruleMatches(
  rule: Rule,
  direction: Direction,
  { source, destination, protocol, port, sourcePort = EPHEMERAL_PORT }: PolicyFlow,
  settings: PolicySettings,
): boolean {
  const [own, peer] = direction === "egress" ? [source, destination] : [destination, source];
  const isLocal = areLocal(source, destination);
  const atSource = (term: PortTerm) => portMatches(term, source, protocol, sourcePort);
  const atDestination = (term: PortTerm) => portMatches(term, destination, protocol, port);
  return (
    (rule.peers?.some((term) => peerMatches(term, peer, settings, isLocal)) ?? true) &&
    (rule.selected?.some((term) => peerMatches(term, own, settings)) ?? true) &&
    (rule.ports?.some(atDestination) ?? true) &&
    !rule.notPorts?.some(atDestination) &&
    (rule.sourcePorts?.some(atSource) ?? true) &&
    !rule.notSourcePorts?.some(atSource)
  );
}
