// Host Compute Network API, schema 2.0 (Microsoft/hcsshim hcn/hcnloadbalancer.go). Names are the JSON's.

import type { Origin } from "@cnilab/core";

/** Flags of a load balancer. */
export const LoadBalancerFlagsDSR = 1;
export const LoadBalancerFlagsIPv6 = 2;

/** Flags of a port mapping. */
export const LoadBalancerPortMappingFlagsILB = 1;
export const LoadBalancerPortMappingFlagsLocalRoutedVIP = 2;
export const LoadBalancerPortMappingFlagsUseMux = 4;
export const LoadBalancerPortMappingFlagsPreserveDIP = 8;
/** Kubernetes names it (pkg/proxy/winkernel/hns.go), hcsshim does not. */
export const LoadBalancerPortMappingFlagsVipExternalIP = 16;

/** By the five-tuple. */
export const LoadBalancerDistributionNone = 0;
export const LoadBalancerDistributionSourceIPProtocol = 1;
/** All of a client's traffic to the same endpoint. */
export const LoadBalancerDistributionSourceIP = 2;

export interface LoadBalancerPortMapping {
  /** IP protocol number. */
  readonly Protocol: number;
  readonly InternalPort: number;
  readonly ExternalPort: number;
  readonly DistributionType: number;
  readonly Flags: number;
}

export interface HcnLoadBalancerSettings {
  /** GUIDs. */
  readonly HostComputeEndpoints: readonly string[];
  /** Source that endpoints see; empty for the node's address. */
  readonly SourceVIP: string;
  /** Empty: the node's own addresses. */
  readonly FrontendVIPs: readonly string[];
  readonly PortMappings: readonly LoadBalancerPortMapping[];
  readonly Flags: number;
}

/** `HostComputeLoadBalancer`, as HNS answers with it. */
export interface HostComputeLoadBalancer extends HcnLoadBalancerSettings {
  readonly ID: string;
  /** Not in the API: for traces. */
  readonly origin: Origin | undefined;
}
