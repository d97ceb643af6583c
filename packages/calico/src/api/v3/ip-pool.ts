import type { Condition, KubeObject } from "@cnilab/core";

/** When packets between nodes are put into others. */
export type EncapsulationMode = "Never" | "Always" | "CrossSubnet";

export type IPPoolAllowedUse = "Workload" | "Tunnel" | "LoadBalancer";

/** Whether pods may get an address here without asking for the pool. */
export type AssignmentMode = "Automatic" | "Manual";

export interface IPPoolSpec {
  readonly cidr: string;
  readonly vxlanMode?: EncapsulationMode;
  /** IPv4 only, and not beside VXLAN. */
  readonly ipipMode?: EncapsulationMode;
  readonly natOutgoing?: boolean;
  readonly disabled?: boolean;
  readonly disableBGPExport?: boolean;
  /** 26 for IPv4 and 122 for IPv6 where it is left out. */
  readonly blockSize?: number;
  readonly nodeSelector?: string;
  readonly namespaceSelector?: string;
  readonly allowedUses?: readonly IPPoolAllowedUse[];
  readonly assignmentMode?: AssignmentMode;
}

export interface IPPool extends KubeObject {
  readonly kind: "IPPool";
  readonly spec: IPPoolSpec;
  readonly status?: { readonly conditions?: readonly Condition[] };
}
