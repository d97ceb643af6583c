import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";
import type { ConntrackGcConfig } from "../agent/conntrack/gc-interval.ts";
import type { MaglevConfig } from "../maglev/maglev-config.ts";

export type IpamMode = "cluster-pool" | "kubernetes" | "multi-pool";

export interface PoolRanges {
  readonly cidrs: readonly Prefix[];
  /** Length of what a node gets of them. */
  readonly maskSize: number;
}

/** What the ConfigMap `cilium-config` says, the same for all nodes: made once a cluster (pkg/option DaemonConfig). */
export interface AgentConfig {
  readonly clusterName: string;
  readonly families: readonly IpFamily[];
  readonly routing: RoutingConfig;
  readonly ipam: IpamConfig;
  /** Of pods' devices; 0 is that of the nodes' own. */
  readonly mtu: number;
  /** Names that the nodes' devices must have, `eth+` is a beginning; empty finds them. */
  readonly devices: readonly string[];
  readonly directRoutingDevice: string | undefined;
  readonly services: ServicesConfig;
  readonly masquerade: MasqueradeConfig;
  readonly maps: MapSizesConfig;
  readonly policy: PolicyConfig;
  readonly wireguard: WireguardConfig | undefined;
  readonly l7Proxy: boolean;
  readonly dnsProxy: DnsProxyConfig;
  readonly monitorAggregation: "none" | "low" | "medium" | "maximum";
  readonly hubble: boolean;
  readonly sctp: boolean;
  /** The health endpoint, and an address for it. */
  readonly endpointHealthChecking: boolean;
  readonly tcx: boolean;
  readonly conntrackGc: ConntrackGcConfig;
}

export interface RoutingConfig {
  readonly mode: "tunnel" | "native";
  readonly tunnelProtocol: "vxlan" | "geneve";
  readonly tunnelPort: number;
  /** Family of the tunnels' outer addresses. */
  readonly underlay: IpFamily;
  readonly autoDirectNodeRoutes: boolean;
  readonly skipUnreachable: boolean;
  /** What is reached without masquerading; `undefined` is the node's own range alone. */
  readonly nativeCidr: Readonly<Record<IpFamily, Prefix | undefined>>;
  readonly endpointRoutes: boolean;
  /** Packets of pods go through the node's stack (`bpf.hostLegacyRouting`). */
  readonly hostLegacy: boolean;
  readonly noConntrackRules: boolean;
}

export interface IpamConfig {
  readonly mode: IpamMode;
  /** Of cluster-pool. */
  readonly clusterPool: Readonly<Partial<Record<IpFamily, PoolRanges>>>;
  /** Of multi-pool: what the operator makes at its start. */
  readonly autoCreatePools: ReadonlyMap<string, Readonly<Partial<Record<IpFamily, PoolRanges>>>>;
  /** Of multi-pool: addresses to keep ready, by pool. */
  readonly preAllocation: ReadonlyMap<string, number>;
}

/** Where a server listens; an unspecified address is any. */
export interface HealthzAddress {
  readonly address: IpAddress;
  readonly port: number;
}

export interface ServicesConfig {
  readonly kubeProxyReplacement: boolean;
  /** Of the health check server that stands in for kube-proxy's; `undefined` without one. */
  readonly healthz: HealthzAddress | undefined;
  /** NodePort and its like by eBPF. */
  readonly nodePort: boolean;
  readonly nodePortRange: { readonly first: number; readonly last: number };
  readonly bindProtection: boolean;
  readonly socketLb: boolean;
  readonly socketLbHostOnly: boolean;
  readonly mode: "snat" | "dsr" | "hybrid";
  readonly algorithm: "random" | "maglev";
  readonly dsrDispatch: "opt" | "ipip" | "geneve";
  /** Clients hear of packets that are too long for DSR. */
  readonly pmtuDiscovery: boolean;
  readonly acceleration: "disabled" | "native" | "best-effort";
  readonly topology: boolean;
  readonly maglev: MaglevConfig;
  readonly externalClusterIp: boolean;
  readonly sourceRanges: boolean;
  readonly sourceRangeAllTypes: boolean;
  readonly modeAnnotation: boolean;
  readonly algorithmAnnotation: boolean;
  readonly noBackendResponse: "reject" | "drop";
}

export interface MasqueradeConfig {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** By eBPF, not by iptables. */
  readonly bpf: boolean;
  readonly randomFully: boolean;
  /** Destinations that see pods' own addresses (ip-masq-agent); `undefined` without it. */
  readonly nonMasqueradeCidrs: readonly Prefix[] | undefined;
}

export interface MapSizesConfig {
  readonly policy: number;
  readonly lb: number;
  readonly ctTcp: number;
  readonly ctAny: number;
  readonly nat: number;
  readonly neigh: number;
}

export interface PolicyConfig {
  readonly enforcement: "default" | "always" | "never";
  readonly audit: boolean;
  readonly cidrMatchesNodes: boolean;
  readonly hostFirewall: boolean;
  /** `labels`: patterns with a blank between them; `undefined` is the filter built in. */
  readonly labels: string | undefined;
  readonly identityChangeGraceMs: number;
}

export interface WireguardConfig {
  readonly nodeEncryption: boolean;
  /** Seconds; 0 is never. */
  readonly persistentKeepalive: number;
  readonly strict: { readonly cidr: Prefix; readonly allowRemoteNodes: boolean } | undefined;
}

export interface DnsProxyConfig {
  /** Seconds. */
  readonly minTtl: number;
  readonly maxIpsPerHost: number;
  readonly responseMaxDelayMs: number;
  readonly rejectCode: "refused" | "nameError";
}
