import type { KubeObject } from "@cnilab/core";

/** Ranges, and the length of the part of them that a node gets at a time. */
export interface PoolFamily {
  readonly cidrs: readonly string[];
  readonly maskSize: number;
}

/** v2alpha1: a pool of addresses for the IPAM mode `multi-pool`. */
export interface CiliumPodIPPool extends KubeObject {
  readonly kind: "CiliumPodIPPool";
  readonly spec: { readonly ipv4?: PoolFamily; readonly ipv6?: PoolFamily };
}
