import type {
  AdminNetworkPolicy,
  BaselineAdminNetworkPolicy,
  ClusterNetworkPolicy,
} from "@cnilab/core";
import { type KubeObject, kindOf, type NetworkPolicy, objectKey } from "@cnilab/core";
import { compareText } from "../compare-text.ts";
import type { Policy } from "./policy.ts";
import { readAdminNetworkPolicy } from "./read-admin-network-policy.ts";
import { readClusterNetworkPolicy } from "./read-cluster-network-policy.ts";
import { readNetworkPolicy } from "./read-network-policy.ts";

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
  switch (kindOf(object)) {
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
    x.tier.order - y.tier.order ||
    x.priority - y.priority ||
    compareText(x.object.kind, y.object.kind) ||
    compareText(objectKey(x.object), objectKey(y.object))
  );
}
