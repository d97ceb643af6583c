import type { KubeObject, NetworkPolicy as KubernetesNetworkPolicy } from "@cnilab/core";
import type { GlobalNetworkPolicySpec, NetworkPolicySpec } from "./network-policy.ts";

/** What would become of the policy of that name: `Set` where it is left out. */
export type StagedAction = "Set" | "Delete" | "Learn" | "Ignore";

export interface StagedNetworkPolicySpec extends NetworkPolicySpec {
  readonly stagedAction?: StagedAction;
}

export interface StagedGlobalNetworkPolicySpec extends GlobalNetworkPolicySpec {
  readonly stagedAction?: StagedAction;
}

export type StagedKubernetesNetworkPolicySpec = KubernetesNetworkPolicy["spec"] & {
  readonly stagedAction?: StagedAction;
};

export interface StagedNetworkPolicy extends KubeObject {
  readonly kind: "StagedNetworkPolicy";
  readonly spec: StagedNetworkPolicySpec;
}

export interface StagedGlobalNetworkPolicy extends KubeObject {
  readonly kind: "StagedGlobalNetworkPolicy";
  readonly spec: StagedGlobalNetworkPolicySpec;
}

export interface StagedKubernetesNetworkPolicy extends KubeObject {
  readonly kind: "StagedKubernetesNetworkPolicy";
  readonly spec: StagedKubernetesNetworkPolicySpec;
}
