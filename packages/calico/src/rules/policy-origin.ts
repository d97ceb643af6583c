import type { Origin } from "@cnilab/core";
import type { PolicyId, PolicyKind } from "../calc/messages.ts";
import type { PolicyDirection } from "../names/chain-names.ts";

/** Kinds as users know them: of what was converted, that of the object before; of Calico's own NetworkPolicy, the one that cannot be mistaken. */
const USER_KINDS: Partial<Readonly<Record<PolicyKind, string>>> = {
  NetworkPolicy: "NetworkPolicy.projectcalico.org",
  KubernetesNetworkPolicy: "NetworkPolicy",
  KubernetesClusterNetworkPolicy: "ClusterNetworkPolicy",
};

/** The object that a policy was made of. */
export function policyOrigin(id: PolicyId, detail?: string): Origin {
  return {
    kind: USER_KINDS[id.kind] ?? id.kind,
    ...(id.namespace === undefined ? {} : { namespace: id.namespace }),
    name: id.name,
    ...(detail === undefined ? {} : { detail }),
  };
}

/** What policy says in a direction, as the details of origins begin. */
export function directionWord(direction: PolicyDirection): "ingress" | "egress" {
  return direction === "inbound" ? "ingress" : "egress";
}

/** The end of a tier: none of its policies has let the packet through. @param policies at least one */
export function endOfTierOrigin(
  tier: string,
  direction: PolicyDirection,
  policies: readonly PolicyId[],
): Origin {
  const [first, ...others] = policies;
  const also = others.length === 0 ? "" : ` or of ${others.map(({ name }) => name).join(", ")}`;
  const detail = `${directionWord(direction)}, end of tier ${tier}: no rule of it${also} allows this`;
  return policyOrigin(first as PolicyId, detail);
}
