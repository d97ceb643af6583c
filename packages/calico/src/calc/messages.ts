/**
 * What the calculation graph tells a dataplane: the messages of `felix/proto/felixbackend.proto` as plain immutable data, in camelCase.
 * A list that the protocol may leave out is present and empty here; a scalar at its zero value is left out, as in protojson.
 * All of them are shared between nodes: nobody may write to what they were given.
 */

/** Kinds of what a policy chain is made from. The `Kubernetes…` ones are conversions (`libcalico-go/lib/backend/model/policy.go`). */
export type PolicyKind =
  | "GlobalNetworkPolicy"
  | "NetworkPolicy"
  | "StagedGlobalNetworkPolicy"
  | "StagedNetworkPolicy"
  | "StagedKubernetesNetworkPolicy"
  | "KubernetesNetworkPolicy"
  | "KubernetesClusterNetworkPolicy";

/** `felix.PolicyID`. */
export interface PolicyId {
  readonly name: string;
  /** Absent for a global kind. */
  readonly namespace?: string;
  readonly kind: PolicyKind;
}

/** `felix.Protocol`: names as Felix lowers them (`tcp`). */
export type RuleProtocol = { readonly name: string } | { readonly number: number };

/** `felix.PortRange`, both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** `felix.IcmpTypeAndCode`. */
export interface IcmpTypeAndCode {
  readonly type: number;
  readonly code: number;
}

/** `felix.ServiceAccountMatch`, as written by the user. */
export interface ServiceAccountMatch {
  readonly selector?: string;
  readonly names: readonly string[];
}

/** `felix.HTTPMatch`: seen by application-layer policy only. */
export interface HttpMatch {
  readonly methods: readonly string[];
  readonly paths: readonly ({ readonly exact: string } | { readonly prefix: string })[];
}

/** `felix.IPVersion`, without its 0. */
export type IpVersionName = "IPV4" | "IPV6";

/** What `felix.Rule.action` is: the v3 action in lower case, Pass as `next-tier` (`libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go`). */
export type RuleAction = "allow" | "deny" | "log" | "pass" | "next-tier";

/** `felix.Rule`: selectors are already IP sets. */
export interface Rule {
  readonly action: RuleAction;
  readonly ipVersion?: IpVersionName;
  readonly protocol?: RuleProtocol;
  readonly srcNet?: readonly string[];
  readonly srcPorts?: readonly PortRange[];
  readonly srcNamedPortIpSetIds?: readonly string[];
  readonly dstNet?: readonly string[];
  readonly dstPorts?: readonly PortRange[];
  readonly dstNamedPortIpSetIds?: readonly string[];
  readonly icmpType?: number;
  readonly icmpTypeCode?: IcmpTypeAndCode;
  readonly srcIpSetIds?: readonly string[];
  readonly dstIpSetIds?: readonly string[];
  readonly dstIpPortSetIds?: readonly string[];
  readonly notProtocol?: RuleProtocol;
  readonly notSrcNet?: readonly string[];
  readonly notSrcPorts?: readonly PortRange[];
  readonly notDstNet?: readonly string[];
  readonly notDstPorts?: readonly PortRange[];
  readonly notIcmpType?: number;
  readonly notIcmpTypeCode?: IcmpTypeAndCode;
  readonly notSrcIpSetIds?: readonly string[];
  readonly notDstIpSetIds?: readonly string[];
  readonly notSrcNamedPortIpSetIds?: readonly string[];
  readonly notDstNamedPortIpSetIds?: readonly string[];
  readonly originalSrcSelector?: string;
  readonly originalDstSelector?: string;
  readonly originalSrcNamespaceSelector?: string;
  readonly originalDstNamespaceSelector?: string;
  readonly originalNotSrcSelector?: string;
  readonly originalNotDstSelector?: string;
  readonly originalSrcService?: string;
  readonly originalSrcServiceNamespace?: string;
  readonly originalDstService?: string;
  readonly originalDstServiceNamespace?: string;
  readonly srcServiceAccountMatch?: ServiceAccountMatch;
  readonly dstServiceAccountMatch?: ServiceAccountMatch;
  readonly httpMatch?: HttpMatch;
  /** `felix.RuleMetadata`: annotations that become comments of the rendered rule. */
  readonly metadata?: { readonly annotations: Readonly<Record<string, string>> };
  readonly ruleId: string;
}

/** `felix.Policy`. */
export interface Policy {
  readonly namespace?: string;
  readonly tier: string;
  readonly inboundRules: readonly Rule[];
  readonly outboundRules: readonly Rule[];
  readonly untracked?: boolean;
  readonly preDnat?: boolean;
  /** Canonical text of the selector of its subjects; neighbours that share it make a policy group. */
  readonly originalSelector: string;
  readonly perfHints?: readonly string[];
}

/** `felix.Profile`. */
export interface Profile {
  readonly inboundRules: readonly Rule[];
  readonly outboundRules: readonly Rule[];
}

/** What a tier does where none of its policies decided. */
export type TierDefaultAction = "Deny" | "Pass";

/** `felix.TierInfo`: the policies of one tier that select an endpoint, in order. */
export interface TierInfo {
  readonly name: string;
  readonly ingressPolicies: readonly PolicyId[];
  readonly egressPolicies: readonly PolicyId[];
  /** None where there is no such tier, which ends as with `Deny`. */
  readonly defaultAction?: TierDefaultAction;
}

/** `felix.NatInfo`: a floating IP. */
export interface NatInfo {
  readonly extIp: string;
  readonly intIp: string;
}

/** `felix.QoSControls`, bits and packets a second; only what is set. */
export interface QosControls {
  readonly ingressBandwidth?: number;
  readonly egressBandwidth?: number;
  readonly ingressBurst?: number;
  readonly egressBurst?: number;
  readonly ingressPacketRate?: number;
  readonly egressPacketRate?: number;
  readonly ingressMaxConnections?: number;
  readonly egressMaxConnections?: number;
  readonly ingressPeakrate?: number;
  readonly egressPeakrate?: number;
  readonly ingressMinburst?: number;
  readonly egressMinburst?: number;
  readonly ingressPacketBurst?: number;
  readonly egressPacketBurst?: number;
}

/** `felix.QoSPolicy`: the DSCP of packets that leave the cluster. */
export interface QosPolicy {
  readonly dscp: number;
}

/** `felix.WorkloadBpfSkipRedir`: directions in which the eBPF dataplane must let a packet pass the host's queues. */
export interface WorkloadBpfSkipRedir {
  readonly ingress?: true;
  readonly egress?: true;
}

/** `felix.WorkloadEndpointID`. */
export interface WorkloadEndpointId {
  readonly orchestratorId: string;
  /** `<namespace>/<pod>` for Kubernetes. */
  readonly workloadId: string;
  readonly endpointId: string;
}

/** `felix.WorkloadEndpoint`. */
export interface WorkloadEndpoint {
  readonly state: string;
  /** Its host-side interface. */
  readonly name: string;
  readonly mac?: string;
  readonly profileIds: readonly string[];
  readonly ipv4Nets: readonly string[];
  readonly ipv6Nets: readonly string[];
  readonly tiers: readonly TierInfo[];
  readonly ipv4Nat?: readonly NatInfo[];
  readonly ipv6Nat?: readonly NatInfo[];
  readonly allowSpoofedSourcePrefixes?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly qosControls?: QosControls;
  readonly qosPolicies?: readonly QosPolicy[];
  readonly skipRedir?: WorkloadBpfSkipRedir;
}

/** `felix.HostEndpointID`: the name of the HostEndpoint. */
export interface HostEndpointId {
  readonly endpointId: string;
}

/** `felix.HostEndpoint`. */
export interface HostEndpoint {
  /** An interface, `*` for all, or empty where only addresses say which it is. */
  readonly name: string;
  readonly profileIds: readonly string[];
  readonly tiers: readonly TierInfo[];
  readonly untrackedTiers: readonly TierInfo[];
  readonly preDnatTiers: readonly TierInfo[];
  readonly forwardTiers: readonly TierInfo[];
  readonly expectedIpv4Addrs: readonly string[];
  readonly expectedIpv6Addrs: readonly string[];
  readonly qosPolicies?: readonly QosPolicy[];
}

/** `felix.IPSetUpdate.IPSetType`. Members: `10.0.0.1`, `10.0.0.1,tcp:80`, `10.0.0.0/24`. */
export type IpSetType = "IP" | "IP_AND_PORT" | "NET";

/** Bits of `felix.RouteType`. */
export const RouteType = {
  CIDR_INFO: 0,
  REMOTE_WORKLOAD: 1,
  REMOTE_HOST: 2,
  LOCAL_WORKLOAD: 4,
  LOCAL_HOST: 8,
  REMOTE_TUNNEL: 16,
  LOCAL_TUNNEL: 32,
} as const;

/** `felix.IPPoolType`. */
export type IpPoolType = "NONE" | "NO_ENCAP" | "VXLAN" | "IPIP";

/** `felix.TunnelType`. */
export interface TunnelType {
  readonly ipip?: boolean;
  readonly vxlan?: boolean;
  readonly wireguard?: boolean;
}

/** `felix.RouteUpdate`. */
export interface RouteUpdate {
  readonly dst: string;
  /** Bits of {@link RouteType}. */
  readonly types: number;
  readonly ipPoolType: IpPoolType;
  readonly dstNodeName?: string;
  readonly dstNodeIp?: string;
  readonly sameSubnet?: boolean;
  readonly natOutgoing?: boolean;
  readonly localWorkload?: boolean;
  readonly tunnelType?: TunnelType;
  readonly borrowed?: boolean;
}

/** `felix.VXLANTunnelEndpointUpdate`. */
export interface VxlanTunnelEndpoint {
  readonly node: string;
  readonly mac?: string;
  readonly ipv4Addr?: string;
  readonly parentDeviceIp?: string;
  readonly macV6?: string;
  readonly ipv6Addr?: string;
  readonly parentDeviceIpv6?: string;
}

/** `felix.IPAMPool`. */
export interface IpamPool {
  readonly cidr: string;
  readonly masquerade?: boolean;
  readonly ipipMode?: string;
  readonly vxlanMode?: string;
  readonly allowedUses?: readonly string[];
}

/** `felix.Encapsulation`. */
export interface Encapsulation {
  readonly ipipEnabled?: boolean;
  readonly vxlanEnabled?: boolean;
  readonly vxlanEnabledV6?: boolean;
  readonly noEncapEnabled?: boolean;
}

/** `felix.HostMetadataUpdate`. */
export interface HostMetadata {
  readonly hostname: string;
  readonly ipv4Addr?: string;
  readonly ipv6Addr?: string;
  readonly asnumber?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** `felix.WireguardEndpointUpdate` and its V6 in one. */
export interface WireguardEndpoint {
  readonly hostname: string;
  readonly publicKey?: string;
  readonly interfaceIpv4Addr?: string;
  readonly publicKeyV6?: string;
  readonly interfaceIpv6Addr?: string;
}

/** `felix.GlobalBGPConfigUpdate`. */
export interface GlobalBgpConfig {
  readonly serviceClusterCidrs: readonly string[];
  readonly serviceExternalCidrs: readonly string[];
  readonly serviceLoadbalancerCidrs: readonly string[];
}
