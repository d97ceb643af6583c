import type { KubeObject, LabelSelector, Protocol } from "./meta.ts";

// policy.networking.k8s.io/v1alpha1 in the shape of network-policy-api v0.1.5 (apis/v1alpha1).

/** Pods by their namespace's labels and their own; the Go types make an absent selector an empty one, which admits all. */
export interface NamespacedPod {
  readonly namespaceSelector?: LabelSelector;
  readonly podSelector?: LabelSelector;
}

/** Exactly one of the fields. */
export interface PolicySubject {
  readonly namespaces?: LabelSelector;
  readonly pods?: NamespacedPod;
}

/** Exactly one of the fields. */
export interface AdminPolicyPeer extends PolicySubject {
  /** Egress only, as are `networks`. */
  readonly nodes?: LabelSelector;
  readonly networks?: readonly string[];
}

/** Exactly one of the fields. */
export interface AdminPolicyPort {
  readonly portNumber?: { readonly protocol?: Protocol; readonly port: number };
  readonly namedPort?: string;
  readonly portRange?: {
    readonly protocol?: Protocol;
    readonly start: number;
    readonly end: number;
  };
}

export interface AdminPolicyRule<Action extends string> {
  readonly name?: string;
  readonly action: Action;
  readonly ports?: readonly AdminPolicyPort[];
}

export interface AdminPolicyRules<Action extends string> {
  readonly subject: PolicySubject;
  readonly ingress?: readonly (AdminPolicyRule<Action> & {
    readonly from: readonly AdminPolicyPeer[];
  })[];
  readonly egress?: readonly (AdminPolicyRule<Action> & {
    readonly to: readonly AdminPolicyPeer[];
  })[];
}

export interface AdminNetworkPolicy extends KubeObject {
  readonly kind: "AdminNetworkPolicy";
  readonly spec: AdminPolicyRules<"Allow" | "Deny" | "Pass"> & {
    /** 0 to 1000; the lowest comes first. */
    readonly priority: number;
  };
}

/** There is one, named `default`. */
export interface BaselineAdminNetworkPolicy extends KubeObject {
  readonly kind: "BaselineAdminNetworkPolicy";
  readonly spec: AdminPolicyRules<"Allow" | "Deny">;
}
