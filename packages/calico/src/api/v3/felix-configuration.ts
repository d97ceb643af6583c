import type { KubeObject } from "@cnilab/core";
import type { ProgramClusterRoutes } from "./bgp-configuration.ts";
import type { Port } from "./rule.ts";

/** A port that no policy closes. */
export interface ProtoPort {
  /** `tcp` where it is left out. */
  readonly protocol?: string;
  readonly port: number;
  /** Anywhere where it is left out. */
  readonly net?: string;
}

/** Numbers of route tables, ends included. */
export interface RouteTableRange {
  readonly min: number;
  readonly max: number;
}

/**
 * What bears on the network of Linux nodes; fields of eBPF, logs, metrics and the like are checked and kept, and nothing
 * reads them. Texts such as `Drop` are taken in any case; durations are texts such as `90s`.
 */
export interface FelixConfigurationSpec {
  readonly allowIPIPPacketsFromWorkloads?: boolean;
  readonly allowVXLANPacketsFromWorkloads?: boolean;
  readonly chainInsertMode?: string;
  readonly defaultEndpointToHostAction?: string;
  readonly deviceRouteProtocol?: number;
  readonly deviceRouteSourceAddress?: string;
  readonly deviceRouteSourceAddressIPv6?: string;
  readonly disableConntrackInvalidCheck?: boolean;
  readonly featureDetectOverride?: string;
  readonly externalNodesList?: readonly string[];
  readonly failsafeInboundHostPorts?: readonly ProtoPort[];
  readonly failsafeOutboundHostPorts?: readonly ProtoPort[];
  readonly floatingIPs?: "Enabled" | "Disabled";
  readonly interfaceExclude?: string;
  readonly interfacePrefix?: string;
  readonly interfaceRefreshInterval?: string;
  readonly ipForwarding?: "Enabled" | "Disabled";
  readonly ipipEnabled?: boolean;
  readonly ipipMTU?: number;
  readonly ipsetsRefreshInterval?: string;
  readonly iptablesBackend?: string;
  readonly iptablesFilterAllowAction?: string;
  readonly iptablesFilterDenyAction?: string;
  readonly iptablesMangleAllowAction?: string;
  readonly iptablesMarkMask?: number;
  readonly iptablesNATOutgoingInterfaceFilter?: string;
  readonly iptablesRefreshInterval?: string;
  readonly ipv4ElevatedRoutePriority?: number;
  readonly ipv4NormalRoutePriority?: number;
  readonly ipv6ElevatedRoutePriority?: number;
  readonly ipv6NormalRoutePriority?: number;
  readonly ipv6Support?: boolean;
  readonly kubeNodePortRanges?: readonly Port[];
  readonly liveMigrationRouteConvergenceTime?: string;
  readonly localSubnetL2Reachability?: "Disabled" | "PodsAndLoadBalancers";
  readonly localSubnetL2ReachabilityRefreshInterval?: string;
  readonly logActionRateLimit?: string;
  readonly logActionRateLimitBurst?: number;
  readonly logPrefix?: string;
  readonly maxIpsetSize?: number;
  readonly mtuIfacePattern?: string;
  readonly natOutgoingAddress?: string;
  readonly natOutgoingExclusions?: "IPPoolsOnly" | "IPPoolsAndHostIPs";
  readonly natPortRange?: Port;
  readonly nftablesFilterAllowAction?: string;
  readonly nftablesFilterDenyAction?: string;
  readonly nftablesFlowTableDataIfacePattern?: string;
  readonly nftablesFlowTableOffload?: "All" | "Disabled";
  readonly nftablesMangleAllowAction?: string;
  readonly nftablesMarkMask?: number;
  readonly nftablesMode?: "Disabled" | "Enabled" | "Auto";
  readonly nftablesRefreshInterval?: string;
  readonly nodeSelector?: string;
  readonly programClusterRoutes?: ProgramClusterRoutes;
  readonly removeExternalRoutes?: boolean;
  readonly requireMTUFile?: boolean;
  readonly routeRefreshInterval?: string;
  readonly routeSource?: string;
  readonly routeSyncDisabled?: boolean;
  readonly routeTableRange?: RouteTableRange;
  readonly routeTableRanges?: readonly RouteTableRange[];
  readonly serviceLoopPrevention?: string;
  readonly vxlanEnabled?: boolean;
  readonly vxlanMTU?: number;
  readonly vxlanMTUV6?: number;
  readonly vxlanPort?: number;
  readonly vxlanVNI?: number;
  readonly wireguardEnabled?: boolean;
  readonly wireguardEnabledV6?: boolean;
  readonly wireguardHostEncryptionEnabled?: boolean;
  readonly wireguardInterfaceName?: string;
  readonly wireguardInterfaceNameV6?: string;
  readonly wireguardKeepAlive?: string;
  readonly wireguardListeningPort?: number;
  readonly wireguardListeningPortV6?: number;
  readonly wireguardMTU?: number;
  readonly wireguardMTUV6?: number;
  readonly wireguardRoutingRulePriority?: number;
  readonly wireguardThreadingEnabled?: boolean;
  readonly workloadSourceSpoofing?: string;
}

/** `default` for the cluster, `node.NAME` for one node, any other name for the nodes that `nodeSelector` selects. */
export interface FelixConfiguration extends KubeObject {
  readonly kind: "FelixConfiguration";
  readonly spec: FelixConfigurationSpec;
}
