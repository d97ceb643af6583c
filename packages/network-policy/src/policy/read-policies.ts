import type {
  AdminNetworkPolicy,
  BaselineAdminNetworkPolicy,
  ClusterNetworkPolicy,
} from "@cnilab/core";
import { type KubeObject, type NetworkPolicy, objectKey } from "@cnilab/core";
import { compareText } from "../compare-text.ts";
import type { Policy, Tier } from "./policy.ts";
import { readAdminNetworkPolicy } from "./read-admin-network-policy.ts";
import { readClusterNetworkPolicy } from "./read-cluster-network-policy.ts";
import { readNetworkPolicy } from "./read-network-policy.ts";

const TIERS: readonly Tier[] = ["Admin", "NetworkPolicy", "Baseline"];

/**
 * The policies among some objects, in the order in which they are asked: by tier, priority, then kind and name.
 * The last is our choice, as the API leaves equal priorities open.
 */
export function readPolicies(objects: Iterable<KubeObject>): readonly Policy[] {
  const policies: Policy[] = [];
  for (const object of objects) {
    const policy = readPolicy(object);
    if (policy !== undefined) policies.push(policy);
  }
  return policies.sort(compare);
}

function readPolicy(object: KubeObject): Policy | undefined {
  switch (object.kind) {
    case "NetworkPolicy":
      return readNetworkPolicy(object as NetworkPolicy);
    case "AdminNetworkPolicy":
    case "BaselineAdminNetworkPolicy":
      return readAdminNetworkPolicy(object as AdminNetworkPolicy | BaselineAdminNetworkPolicy);
    case "ClusterNetworkPolicy":
      return readClusterNetworkPolicy(object as ClusterNetworkPolicy);
    default:
      return undefined;
  }
}

function compare(x: Policy, y: Policy): number {
  return (
    TIERS.indexOf(x.tier) - TIERS.indexOf(y.tier) ||
    x.priority - y.priority ||
    compareText(x.object.kind, y.object.kind) ||
    compareText(objectKey(x.object), objectKey(y.object))
  );
}
