import type { LabelSelector } from "@cnilab/core";

// pkg/policy/api: rule.go, ingress.go, egress.go, l4.go, l7.go, icmp.go, cidr.go, entity.go, fqdn.go, service.go, groups.go.

/** What is no pod of its own, or no single one. */
export type Entity =
  | "all"
  | "world"
  | "world-ipv4"
  | "world-ipv6"
  | "cluster"
  | "host"
  | "init"
  | "ingress"
  | "unmanaged"
  | "remote-node"
  | "health"
  | "none"
  | "kube-apiserver";

export interface CIDRRule {
  readonly cidr?: string;
  readonly cidrGroupRef?: string;
  readonly cidrGroupSelector?: LabelSelector;
  readonly except?: readonly string[];
}

/** Addresses that DNS has told of: a name, or a pattern of names. */
export interface FQDNSelector {
  readonly matchName?: string;
  readonly matchPattern?: string;
}

export interface Service {
  readonly k8sService?: { readonly serviceName?: string; readonly namespace?: string };
  readonly k8sServiceSelector?: { readonly selector: LabelSelector; readonly namespace?: string };
}

export interface Groups {
  readonly aws?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly securityGroupsIds?: readonly string[];
    readonly securityGroupsNames?: readonly string[];
    readonly region?: string;
  };
}

/** Protocols that a port is of; those of ICMP come from `icmps` alone. */
export type L4Proto = "ANY" | "TCP" | "UDP" | "SCTP" | "ICMP" | "ICMPv6";

export interface PortProtocol {
  /** A number as text, or the name of a port. */
  readonly port: string;
  /** One port where it is no greater. */
  readonly endPort?: number;
  /** Any where it is left out. */
  readonly protocol?: L4Proto;
}

export interface Secret {
  readonly namespace?: string;
  readonly name: string;
}

export interface TLSContext {
  readonly secret: Secret;
  readonly trustedCA?: string;
  readonly certificate?: string;
  readonly privateKey?: string;
}

export type ListenerKind = "CiliumEnvoyConfig" | "CiliumClusterwideEnvoyConfig";

export interface Listener {
  readonly envoyConfig: {
    readonly kind?: ListenerKind;
    readonly name: string;
  };
  readonly name: string;
  /** From 1, which comes first, to 100. */
  readonly priority?: number;
}

export interface HeaderMatch {
  readonly name: string;
  readonly value?: string;
  readonly secret?: Secret;
  readonly mismatch?: "LOG" | "ADD" | "DELETE" | "REPLACE";
}

/** Regular expressions, of which each must match the whole text. */
export interface PortRuleHTTP {
  readonly path?: string;
  readonly method?: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  readonly headerMatches?: readonly HeaderMatch[];
}

export interface PortRuleKafka {
  readonly role?: "produce" | "consume";
  readonly apiKey?: string;
  readonly apiVersion?: string;
  readonly clientID?: string;
  readonly topic?: string;
}

/** Of one kind. */
export interface L7Rules {
  readonly http?: readonly PortRuleHTTP[];
  readonly kafka?: readonly PortRuleKafka[];
  readonly dns?: readonly FQDNSelector[];
  readonly l7proto?: string;
  readonly l7?: readonly Readonly<Record<string, string>>[];
}

export interface PortDenyRule {
  readonly ports?: readonly PortProtocol[];
}

export interface PortRule extends PortDenyRule {
  readonly terminatingTLS?: TLSContext;
  readonly originatingTLS?: TLSContext;
  readonly serverNames?: readonly string[];
  readonly listener?: Listener;
  readonly rules?: L7Rules;
}

export interface ICMPField {
  /** IPv4 where it is left out. */
  readonly family?: "IPv4" | "IPv6";
  /** A number, or a name such as `EchoRequest`. */
  readonly type: number | string;
}

export interface ICMPRule {
  readonly fields?: readonly ICMPField[];
}

export interface Authentication {
  readonly mode: "disabled" | "required" | "test-always-fail";
}

/** Whom a rule is about; one kind of these. A list without items selects nobody, an absent one everybody. */
export interface IngressCommonRule {
  readonly fromEndpoints?: readonly LabelSelector[];
  readonly fromRequires?: readonly LabelSelector[];
  readonly fromCIDR?: readonly string[];
  readonly fromCIDRSet?: readonly CIDRRule[];
  readonly fromEntities?: readonly Entity[];
  readonly fromGroups?: readonly Groups[];
  readonly fromNodes?: readonly LabelSelector[];
}

export interface IngressRule extends IngressCommonRule {
  readonly toPorts?: readonly PortRule[];
  readonly icmps?: readonly ICMPRule[];
  readonly authentication?: Authentication;
}

export interface IngressDenyRule extends IngressCommonRule {
  readonly toPorts?: readonly PortDenyRule[];
  readonly icmps?: readonly ICMPRule[];
}

export interface EgressCommonRule {
  readonly toEndpoints?: readonly LabelSelector[];
  readonly toRequires?: readonly LabelSelector[];
  readonly toCIDR?: readonly string[];
  readonly toCIDRSet?: readonly CIDRRule[];
  readonly toEntities?: readonly Entity[];
  readonly toServices?: readonly Service[];
  readonly toGroups?: readonly Groups[];
  readonly toNodes?: readonly LabelSelector[];
}

export interface EgressRule extends EgressCommonRule {
  readonly toPorts?: readonly PortRule[];
  readonly toFQDNs?: readonly FQDNSelector[];
  readonly icmps?: readonly ICMPRule[];
  readonly authentication?: Authentication;
}

export interface EgressDenyRule extends EgressCommonRule {
  readonly toPorts?: readonly PortDenyRule[];
  readonly icmps?: readonly ICMPRule[];
}

export interface RuleLabel {
  readonly key: string;
  readonly value?: string;
  readonly source?: string;
}

export interface Rule {
  /** One of the two. */
  readonly endpointSelector?: LabelSelector;
  readonly nodeSelector?: LabelSelector;
  readonly ingress?: readonly IngressRule[];
  readonly ingressDeny?: readonly IngressDenyRule[];
  readonly egress?: readonly EgressRule[];
  readonly egressDeny?: readonly EgressDenyRule[];
  readonly labels?: readonly RuleLabel[];
  readonly enableDefaultDeny?: { readonly ingress?: boolean; readonly egress?: boolean };
  readonly description?: string;
  readonly log?: { readonly value?: string };
}
