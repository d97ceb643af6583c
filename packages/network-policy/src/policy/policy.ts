import type { KubeObject, LabelSelector, Protocol } from "@cnilab/core";
import type { Prefix } from "@cnilab/net";

// One form for all kinds of policy objects. What the kinds write differently (defaults, `from` or `to`,
// `Accept` or `Allow`) is gone here.

/** Seen from the pod that a policy selects. */
export type Direction = "ingress" | "egress";

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** `Pass` leaves the tier. */
export type Action = "Allow" | "Deny" | "Pass";

/** Asked in this order; the first that decides has decided. */
export type Tier = "Admin" | "NetworkPolicy" | "Baseline";

/** Pods by labels. Never a pod on its node's network, which has no address of its own. */
export interface PodTerm {
  readonly kind: "pods";
  /** The one namespace that is meant; else those that `namespaceSelector` admits. */
  readonly namespace?: string;
  readonly namespaceSelector?: LabelSelector;
  readonly podSelector: LabelSelector;
}

/** Addresses of nodes by the nodes' labels. */
export interface NodeTerm {
  readonly kind: "nodes";
  readonly nodeSelector: LabelSelector;
}

/** Addresses. */
export interface BlockTerm {
  readonly kind: "block";
  readonly cidr: Prefix;
  readonly except: readonly Prefix[];
}

/** Names that the addresses behind them are not known of here: matches nothing. */
export interface DomainTerm {
  readonly kind: "domain";
  readonly name: string;
}

export type PeerTerm = PodTerm | NodeTerm | BlockTerm | DomainTerm;

/** Destination ports by number, ends included. */
export interface PortRangeTerm {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
}

/** The destination pod's container port of that name; of any protocol where none is said. */
export interface NamedPortTerm {
  readonly protocol?: Protocol;
  readonly portName: string;
}

export type PortTerm = PortRangeTerm | NamedPortTerm;

export interface Rule {
  /** Where it stands in the object: `spec.ingress[0]`. */
  readonly path: string;
  readonly name?: string;
  readonly action: Action;
  /** Any one of them; absent: any peer at all. */
  readonly peers?: readonly PeerTerm[];
  /** Any one of them; absent: any protocol and port. */
  readonly ports?: readonly PortTerm[];
}

export interface Policy {
  readonly object: KubeObject;
  readonly tier: Tier;
  /** Within the tier, lowest first; 0 for NetworkPolicies, which have no order. */
  readonly priority: number;
  readonly subject: PodTerm;
  /**
   * The rules of a direction, in order; absent: the policy says nothing about it. NetworkPolicies deny what
   * no rule allows, those of the other tiers leave it undecided.
   */
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

/** A rule, and where it stands. */
export interface PlacedRule {
  readonly policy: Policy;
  readonly direction: Direction;
  readonly rule: Rule;
}

/** All rules of these policies, one policy after the other. */
export function* rulesOf(policies: readonly Policy[]): Generator<PlacedRule> {
  for (const policy of policies) {
    for (const direction of DIRECTIONS) {
      for (const rule of policy[direction] ?? []) yield { policy, direction, rule };
    }
  }
}

/** `NetworkPolicy default/web`. */
export function policyName({ object: { kind, metadata } }: Policy): string {
  const { namespace, name } = metadata;
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** `spec.ingress[0] of NetworkPolicy default/web`. */
export function ruleName({ policy, rule }: Pick<PlacedRule, "policy" | "rule">): string {
  return `${rule.path} of ${policyName(policy)}`;
}
