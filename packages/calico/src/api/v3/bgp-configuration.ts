import type { KubeObject } from "@cnilab/core";

/** A number, or the text of one; also `65.535` as RFC 4271 speakers write large ones. */
export type ASNumber = number | string;

export interface BGPPassword {
  readonly secretKeyRef?: {
    readonly name?: string;
    readonly key: string;
    readonly optional?: boolean;
  };
}

export interface ServiceIPBlock {
  readonly cidr?: string;
}

/** A name for `aa:nn` or `aa:nn:mm`. */
export interface Community {
  readonly name: string;
  readonly value: string;
}

export interface PrefixAdvertisement {
  readonly cidr: string;
  /** Names, or values. */
  readonly communities: readonly string[];
}

/** Whose routes to other nodes' pods Felix or BIRD programs. */
export type ProgramClusterRoutes =
  | "Enabled"
  | "Disabled"
  | "EnabledIPIPOnly"
  | "EnabledNoEncapOnly";

export interface BGPConfigurationSpec {
  readonly logSeverityScreen?: string;
  /** true where it is left out. */
  readonly nodeToNodeMeshEnabled?: boolean;
  /** 64512 where it is left out. */
  readonly asNumber?: ASNumber;
  readonly serviceLoadBalancerIPs?: readonly ServiceIPBlock[];
  readonly serviceExternalIPs?: readonly ServiceIPBlock[];
  readonly serviceClusterIPs?: readonly ServiceIPBlock[];
  readonly serviceLoadBalancerAggregation?: "Enabled" | "Disabled";
  readonly communities?: readonly Community[];
  readonly prefixAdvertisements?: readonly PrefixAdvertisement[];
  /** 179 where it is left out. */
  readonly listenPort?: number;
  readonly nodeMeshPassword?: BGPPassword;
  /** A duration such as `120s`. */
  readonly nodeMeshMaxRestartTime?: string;
  readonly bindMode?: "None" | "NodeIP";
  readonly ignoredInterfaces?: readonly string[];
  readonly localWorkloadPeeringIPV4?: string;
  readonly localWorkloadPeeringIPV6?: string;
  /** `EnabledNoEncapOnly` where it is left out. */
  readonly programClusterRoutes?: ProgramClusterRoutes;
  readonly ipv4NormalRoutePriority?: number;
  readonly ipv6NormalRoutePriority?: number;
}

/** `default` for the cluster, `node.NAME` for one node. */
export interface BGPConfiguration extends KubeObject {
  readonly kind: "BGPConfiguration";
  readonly spec: BGPConfigurationSpec;
}
