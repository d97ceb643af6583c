import type { KubeObject } from "@cnilab/core";

export interface NetworkSetSpec {
  /** Ranges, or single addresses. */
  readonly nets?: readonly string[];
}

/** Addresses that selectors find by the labels of the set. */
export interface NetworkSet extends KubeObject {
  readonly kind: "NetworkSet";
  readonly spec: NetworkSetSpec;
}

export interface GlobalNetworkSet extends KubeObject {
  readonly kind: "GlobalNetworkSet";
  readonly spec: NetworkSetSpec;
}
