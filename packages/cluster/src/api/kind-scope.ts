import type { Kind } from "@cnilab/core";
import { CustomResources } from "./custom-resources.ts";

/** Kinds whose objects are in no namespace. */
const CLUSTER_SCOPED = new Set([
  "Namespace",
  "Node",
  "PersistentVolume",
  "StorageClass",
  "IngressClass",
  "GatewayClass",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "PriorityClass",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "ClusterNetworkPolicy",
]);

/** @param kind as the API store calls it */
export function isNamespaced(
  kind: string,
  resources: CustomResources = CustomResources.NONE,
): boolean {
  return resources.get(kind as Kind)?.namespaced ?? !CLUSTER_SCOPED.has(kind);
}
