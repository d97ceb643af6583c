import type { PolicyPerformanceHint } from "../api/v3/network-policy.ts";
import type { HTTPMatch } from "../api/v3/rule.ts";
import type { StagedAction } from "../api/v3/staged-network-policy.ts";
import type { QosControls, RuleAction, RuleProtocol, TierDefaultAction } from "../calc/messages.ts";
import type { ParsedPort } from "./ports.ts";

// What Felix works on: objects after their update processor (`libcalico-go/lib/backend/model`). Selectors are texts in which a policy's
// namespace, and the selectors of namespaces and service accounts, are already part of the one of endpoints.

/** `model.Rule`. Absent and empty lists and texts mean the same: no match. */
export interface ModelRule {
  readonly action: RuleAction;
  readonly ipVersion?: 4 | 6;
  readonly protocol?: RuleProtocol;
  readonly notProtocol?: RuleProtocol;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly notIcmpType?: number;
  readonly notIcmpCode?: number;
  readonly source: ModelRuleSide;
  readonly destination: ModelRuleSide;
  readonly http?: HTTPMatch;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The half of a rule that is about who sends, or about who receives. */
export interface ModelRuleSide {
  readonly nets?: readonly string[];
  readonly notNets?: readonly string[];
  readonly selector?: string;
  readonly notSelector?: string;
  readonly ports?: readonly ParsedPort[];
  readonly notPorts?: readonly ParsedPort[];
  readonly service?: { readonly name: string; readonly namespace: string };
  /** As the user wrote them. */
  readonly originalSelector?: string;
  readonly originalNamespaceSelector?: string;
  readonly originalNotSelector?: string;
  readonly serviceAccountNames?: readonly string[];
  readonly serviceAccountSelector?: string;
}

/** `model.Policy`. */
export interface ModelPolicy {
  /** Absent for a global one. */
  readonly namespace?: string;
  readonly tier: string;
  /** Absent: last. */
  readonly order?: number;
  readonly inboundRules: readonly ModelRule[];
  readonly outboundRules: readonly ModelRule[];
  readonly selector: string;
  readonly doNotTrack: boolean;
  readonly preDnat: boolean;
  readonly applyOnForward: boolean;
  /** None at all: both. */
  readonly types: readonly ("ingress" | "egress")[];
  readonly performanceHints: readonly PolicyPerformanceHint[];
  readonly stagedAction?: StagedAction;
}

/** `model.Tier`. */
export interface ModelTier {
  readonly order?: number;
  readonly defaultAction: TierDefaultAction;
}

/** `model.ProfileRules`, and the labels that endpoints inherit. */
export interface ModelProfile {
  readonly inboundRules: readonly ModelRule[];
  readonly outboundRules: readonly ModelRule[];
  readonly labels: ReadonlyMap<string, string>;
}

/** `model.EndpointPort`: a port that has a name. */
export interface ModelEndpointPort {
  readonly name: string;
  readonly protocol: RuleProtocol;
  readonly port: number;
}

/** `model.WorkloadEndpointKey`. */
export interface WorkloadEndpointKey {
  readonly hostname: string;
  readonly orchestratorId: string;
  /** `<namespace>/<pod>`. */
  readonly workloadId: string;
  readonly endpointId: string;
}

/** `model.WorkloadEndpoint`. */
export interface ModelWorkloadEndpoint {
  readonly state: string;
  readonly name: string;
  readonly profileIds: readonly string[];
  readonly ipv4Nets: readonly string[];
  readonly ipv6Nets: readonly string[];
  readonly ipv4Nat: readonly IpNat[];
  readonly ipv6Nat: readonly IpNat[];
  readonly labels: ReadonlyMap<string, string>;
  readonly ports: readonly ModelEndpointPort[];
  readonly allowSpoofedSourcePrefixes: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly qosControls?: QosControls;
  readonly dscp?: number;
}

/** `model.IPNAT`. */
export interface IpNat {
  readonly extIp: string;
  readonly intIp: string;
}

/** `model.HostEndpoint`. */
export interface ModelHostEndpoint {
  readonly hostname: string;
  readonly name: string;
  readonly expectedIpv4Addrs: readonly string[];
  readonly expectedIpv6Addrs: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  readonly profileIds: readonly string[];
  readonly ports: readonly ModelEndpointPort[];
  readonly dscp?: number;
}

/** `model.NetworkSet`. */
export interface ModelNetworkSet {
  readonly nets: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  readonly profileIds: readonly string[];
}
