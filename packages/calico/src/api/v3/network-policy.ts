import type { KubeObject } from "@cnilab/core";
import type { PolicyType, Rule } from "./rule.ts";

/** Has a policy's chains and sets on every node, whether it selects an endpoint there or not. */
export type PolicyPerformanceHint = "AssumeNeededOnEveryNode";

/** What all policies of Calico have in common. */
export interface PolicySpec {
  /** `default` where it is left out. */
  readonly tier?: string;
  /** The lowest comes first; without one it comes last. */
  readonly order?: number;
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
  /** Which endpoints; all where it is empty. */
  readonly selector?: string;
  readonly types?: readonly PolicyType[];
  readonly serviceAccountSelector?: string;
  readonly performanceHints?: readonly PolicyPerformanceHint[];
}

export interface NetworkPolicySpec extends PolicySpec {}

export interface GlobalNetworkPolicySpec extends PolicySpec {
  readonly namespaceSelector?: string;
  readonly doNotTrack?: boolean;
  readonly preDNAT?: boolean;
  readonly applyOnForward?: boolean;
}

export interface NetworkPolicy extends KubeObject {
  readonly kind: "NetworkPolicy";
  readonly spec: NetworkPolicySpec;
}

export interface GlobalNetworkPolicy extends KubeObject {
  readonly kind: "GlobalNetworkPolicy";
  readonly spec: GlobalNetworkPolicySpec;
}
