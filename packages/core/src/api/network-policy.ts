import type { IntOrString, KubeObject, LabelSelector, Protocol } from "./meta.ts";

export interface IpBlock {
  readonly cidr: string;
  readonly except?: readonly string[];
}

export interface NetworkPolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: IpBlock;
}

export interface NetworkPolicyPort {
  readonly protocol?: Protocol;
  readonly port?: IntOrString;
  readonly endPort?: number;
}

export interface NetworkPolicy extends KubeObject {
  readonly kind: "NetworkPolicy";
  readonly spec: {
    readonly podSelector?: LabelSelector;
    readonly policyTypes?: readonly ("Ingress" | "Egress")[];
    readonly ingress?: readonly {
      readonly from?: readonly NetworkPolicyPeer[];
      readonly ports?: readonly NetworkPolicyPort[];
    }[];
    readonly egress?: readonly {
      readonly to?: readonly NetworkPolicyPeer[];
      readonly ports?: readonly NetworkPolicyPort[];
    }[];
  };
}

/**
 * A policy as it is stored; it comes back as it is where it says what it is about (pkg/apis/networking/v1/defaults.go
 * SetDefaults_NetworkPolicy).
 */
export function withPolicyTypes(policy: NetworkPolicy): NetworkPolicy {
  const { policyTypes = [], egress = [] } = policy.spec;
  if (policyTypes.length > 0) return policy;
  const types = egress.length > 0 ? (["Ingress", "Egress"] as const) : (["Ingress"] as const);
  return { ...policy, spec: { ...policy.spec, policyTypes: types } };
}
