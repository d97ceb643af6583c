import type { LabelSelector } from "@cnilab/core";
import type {
  Authentication,
  CIDRRule,
  Entity,
  FQDNSelector,
  Groups,
  ICMPRule,
  PortRule,
  Rule,
  RuleLabel,
  Service,
} from "../api/v2/rule.ts";
import type { EndpointSelector } from "../labels/endpoint-selector.ts";

/** One rule of a section: to or from whom, and at which ports. A list without items is nobody, an absent one everybody. */
export interface PeerRule {
  readonly endpoints?: readonly EndpointSelector[];
  /** What all endpoints of all rules of the section must have, too. */
  readonly requires?: readonly EndpointSelector[];
  readonly nodes?: readonly EndpointSelector[];
  readonly cidrs?: readonly string[];
  readonly cidrRules?: readonly CIDRRule[];
  readonly entities?: readonly Entity[];
  readonly groups?: readonly Groups[];
  readonly services?: readonly Service[];
  readonly fqdns?: readonly FQDNSelector[];
  readonly ports: readonly PortRule[];
  readonly icmps: readonly ICMPRule[];
  readonly authentication?: Authentication;
}

/** A rule as the agent keeps it: sources in all keys, the namespace in all selectors (pkg/policy/api/rule.go). */
export interface PolicyRule {
  /** Of pods, or of nodes. */
  readonly subject: EndpointSelector;
  readonly selectsNodes: boolean;
  /** Empty where the policy is in no namespace. */
  readonly namespace: string;
  readonly ingress: readonly PeerRule[];
  readonly ingressDeny: readonly PeerRule[];
  readonly egress: readonly PeerRule[];
  readonly egressDeny: readonly PeerRule[];
  /** Whether what no rule allows is denied. */
  readonly defaultDeny: { readonly ingress: boolean; readonly egress: boolean };
  /** Of which object it is, and what its author gave, in the order of keys. */
  readonly labels: readonly RuleLabel[];
  readonly description?: string;
  readonly log?: string;
}

/**
 * Whether a rule names groups of a cloud. Agents leave the whole object out, and wait for the one that the operator derives from it
 * with the groups' addresses (pkg/policy/k8s/cilium_network_policy.go).
 */
export function requiresDerivative(rule: PolicyRule): boolean {
  const { ingress, ingressDeny, egress, egressDeny } = rule;
  return [ingress, ingressDeny, egress, egressDeny].some((rules) =>
    rules.some(({ groups = [] }) => groups.length > 0),
  );
}

/** As `cilium-dbg policy get` shows a rule: what is empty is left out. */
export function formatRule(rule: PolicyRule): Rule {
  const { defaultDeny } = rule;
  const ingress = rule.ingress.map((each) => formatPeers(each, "from"));
  const ingressDeny = rule.ingressDeny.map((each) => formatPeers(each, "from"));
  const egress = rule.egress.map((each) => formatPeers(each, "to"));
  const egressDeny = rule.egressDeny.map((each) => formatPeers(each, "to"));
  return {
    [rule.selectsNodes ? "nodeSelector" : "endpointSelector"]: rule.subject.toPolicy(),
    ...(ingress.length > 0 && { ingress }),
    ...(ingressDeny.length > 0 && { ingressDeny }),
    ...(egress.length > 0 && { egress }),
    ...(egressDeny.length > 0 && { egressDeny }),
    ...(rule.labels.length > 0 && { labels: rule.labels }),
    enableDefaultDeny: { ...defaultDeny },
    ...(rule.description && { description: rule.description }),
    ...(rule.log && { log: { value: rule.log } }),
  };
}

function formatPeers(rule: PeerRule, side: "from" | "to"): object {
  const lists: Readonly<Record<string, readonly unknown[] | undefined>> = {
    [`${side}Endpoints`]: selectors(rule.endpoints),
    [`${side}Requires`]: selectors(rule.requires),
    [`${side}Nodes`]: selectors(rule.nodes),
    [`${side}CIDR`]: rule.cidrs,
    [`${side}CIDRSet`]: rule.cidrRules,
    [`${side}Entities`]: rule.entities,
    [`${side}Groups`]: rule.groups,
    toServices: rule.services,
    toFQDNs: rule.fqdns,
    toPorts: rule.ports,
    icmps: rule.icmps,
  };
  return {
    ...Object.fromEntries(Object.entries(lists).filter(([, list]) => (list?.length ?? 0) > 0)),
    ...(rule.authentication && { authentication: rule.authentication }),
  };
}

function selectors(of: readonly EndpointSelector[] | undefined): LabelSelector[] | undefined {
  return of?.map((each) => each.toPolicy());
}
