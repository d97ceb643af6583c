import type { AdminPolicyPeer, PolicySubject } from "./admin-network-policy.ts";
import type { KubeObject } from "./meta.ts";

// policy.networking.k8s.io/v1alpha2 (network-policy-api 0eec1b0, apis/v1alpha2).

export interface ClusterPolicyPeer extends AdminPolicyPeer {
  /** Egress and Accept only. */
  readonly domainNames?: readonly string[];
}

export interface DestinationPort {
  /** Exactly one of the fields. */
  readonly destinationPort?: {
    readonly number?: number;
    readonly range?: { readonly start: number; readonly end: number };
  };
}

/** Exactly one of the fields. */
export interface ClusterPolicyProtocol {
  readonly tcp?: DestinationPort;
  readonly udp?: DestinationPort;
  readonly sctp?: DestinationPort;
  readonly destinationNamedPort?: string;
}

export interface ClusterPolicyRule {
  readonly name?: string;
  readonly action: "Accept" | "Deny" | "Pass";
  readonly protocols?: readonly ClusterPolicyProtocol[];
}

export interface ClusterNetworkPolicy extends KubeObject {
  readonly kind: "ClusterNetworkPolicy";
  readonly spec: {
    readonly tier: "Admin" | "Baseline";
    /** 0 to 1000; the lowest comes first. */
    readonly priority: number;
    readonly subject: PolicySubject;
    readonly ingress?: readonly (ClusterPolicyRule & {
      readonly from: readonly ClusterPolicyPeer[];
    })[];
    readonly egress?: readonly (ClusterPolicyRule & {
      readonly to: readonly ClusterPolicyPeer[];
    })[];
  };
}
