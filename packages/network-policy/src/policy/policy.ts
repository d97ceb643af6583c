import { type KubeObject, kindOf, type LabelSelector } from "@cnilab/core";
import type { IpFamily, Prefix } from "@cnilab/net";
import type { IpProtocol } from "./ip-protocol.ts";
import type { LabelExpression } from "./label-expression.ts";
import type { Tier } from "./tier.ts";

// One form for all kinds of policy objects. What the kinds write differently (defaults, `from` or `to`,
// `Accept` or `Allow`) is gone here. A CNI's own kinds are read into it as well (`PolicyReader`).

/** Seen from the endpoint that a policy selects. */
export type Direction = "ingress" | "egress";

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** `Pass` leaves the tier; `Log` decides nothing. */
export type Action = "Allow" | "Deny" | "Pass" | "Log";

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

/** Endpoints of whatever sort by the labels that the CNI gives them. */
export interface LabelTerm {
  readonly kind: "labels";
  readonly where: LabelExpression;
}

/** Addresses: those of any of the ranges, without the exceptions. */
export interface BlockTerm {
  readonly kind: "block";
  readonly cidrs: readonly Prefix[];
  readonly except: readonly Prefix[];
}

/** All addresses of one IP version. */
export interface FamilyTerm {
  readonly kind: "family";
  readonly family: IpFamily;
}

/** Names that the addresses behind them are not known of here: matches nothing. */
export interface DomainTerm {
  readonly kind: "domain";
  readonly name: string;
}

/** Whoever is on the node that the endpoint is on that a rule is asked for: that node itself, and pods there. */
export interface LocalTerm {
  readonly kind: "local";
}

/** Whom all of some terms mean, or any of them, or one does not. */
export type CombinedTerm =
  | { readonly kind: "all" | "any"; readonly of: readonly PeerTerm[] }
  | { readonly kind: "not"; readonly of: PeerTerm };

export type SimpleTerm =
  | PodTerm
  | NodeTerm
  | LabelTerm
  | BlockTerm
  | FamilyTerm
  | DomainTerm
  | LocalTerm;

export type PeerTerm = SimpleTerm | CombinedTerm;

/** The terms that a term is combined of; itself where it is not. */
export function simpleTerms(term: PeerTerm): readonly SimpleTerm[] {
  if (!("of" in term)) return [term];
  return term.kind === "not" ? simpleTerms(term.of) : term.of.flatMap(simpleTerms);
}

/** Whether a term means others on one node than on another. */
export function tellsLocal(term: PeerTerm): boolean {
  return simpleTerms(term).some(({ kind }) => kind === "local");
}

/** Ports by number, ends included. For ICMP these are types and codes: {@link icmpNumber}. */
export interface PortRangeTerm {
  readonly protocol: IpProtocol;
  readonly first: number;
  readonly last: number;
}

/** The endpoint's own port of that name; of any protocol where none is said. */
export interface NamedPortTerm {
  readonly protocol?: IpProtocol;
  readonly portName: string;
}

export type PortTerm = PortRangeTerm | NamedPortTerm;

/** A rule fits where everything fits that it speaks of. */
export interface Rule {
  /** Where it stands in the object: `spec.ingress[0]`. */
  readonly path: string;
  readonly name?: string;
  readonly action: Action;
  /** Place among all rules of its tier, the lowest first, whatever policies they are of; 0 where it is absent. */
  readonly rank?: number;
  /** What else decides about what it allows, a proxy say, and addresses and ports do not show: `a proxy finds HTTP GET in it`. */
  readonly provided?: string;
  /** Who is at the other end: any one of them; absent: any peer at all. */
  readonly peers?: readonly PeerTerm[];
  /** Whom of those that the policy selects it is about: any one of them; absent: all. */
  readonly selected?: readonly PeerTerm[];
  /** At the destination: any one of them; absent: any protocol and port. */
  readonly ports?: readonly PortTerm[];
  /** At the destination: none of them. */
  readonly notPorts?: readonly PortTerm[];
  /** At the source: any one of them; absent: any. */
  readonly sourcePorts?: readonly PortTerm[];
  /** At the source: none of them. */
  readonly notSourcePorts?: readonly PortTerm[];
}

export interface Policy {
  readonly object: KubeObject;
  readonly tier: Tier;
  /** Within the tier, lowest first; 0 for NetworkPolicies, which have no order. */
  readonly priority: number;
  readonly subject: PeerTerm;
  /**
   * The rules of a direction, in order; absent: the policy says nothing about it. What no rule fits is left to the
   * tier.
   */
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
  /** Directions that it does not close: what no rule fits stays open there, unless another policy of the tier closes it. */
  readonly leavesOpen?: readonly Direction[];
  /** Nobody wrote it: the CNI does so by itself. */
  readonly isBuiltIn?: boolean;
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

/** The terms by which policies tell endpoints apart. */
export function* termsOf(policies: readonly Policy[]): Generator<PeerTerm> {
  for (const { subject } of policies) yield subject;
  for (const { rule } of rulesOf(policies)) {
    yield* rule.peers ?? [];
    yield* rule.selected ?? [];
  }
}

/** `NetworkPolicy default/web`; with its group where a CNI has a kind of that name, too. */
export function policyName({ object }: Pick<Policy, "object">): string {
  const { namespace, name } = object.metadata;
  const kind = object.kind === "NetworkPolicy" ? kindOf(object) : object.kind;
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** `spec.ingress[0] of NetworkPolicy default/web`. */
export function ruleName({ policy, rule }: Pick<PlacedRule, "policy" | "rule">): string {
  return `${rule.path} of ${policyName(policy)}`;
}
