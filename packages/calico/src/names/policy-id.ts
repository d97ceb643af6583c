import type { PolicyId, PolicyKind } from "../calc/messages.ts";

/** `felix/types/policy_id.go` KindShortName. */
const SHORT_KINDS: Readonly<Record<PolicyKind, string>> = {
  NetworkPolicy: "np",
  GlobalNetworkPolicy: "gnp",
  StagedNetworkPolicy: "snp",
  StagedGlobalNetworkPolicy: "sgnp",
  StagedKubernetesNetworkPolicy: "sknp",
  KubernetesNetworkPolicy: "knp",
  KubernetesClusterNetworkPolicy: "kcnp",
};

/** One text for each policy, as chain names and logs have it: `np/blue/allow-web`, `gnp/deny`. */
export function policyIdText(id: PolicyId): string {
  const kind = SHORT_KINDS[id.kind];
  return id.namespace === undefined ? `${kind}/${id.name}` : `${kind}/${id.namespace}/${id.name}`;
}

/** Whether a policy is counted and shown, but never enforced (`libcalico-go/lib/backend/model/policy.go` KindIsStaged). */
export function isStaged(kind: PolicyKind): boolean {
  return kind.startsWith("Staged");
}
