import { type Kind, type KubeObject, kindOf } from "@cnilab/core";
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

/**
 * The object with a namespace if its kind is in one, and without if it is in none, as the API server stores it
 * (apiserver pkg/registry/rest/create.go BeforeCreate).
 */
export function inScope(object: KubeObject, resources: CustomResources): KubeObject {
  const { metadata } = object;
  const namespaced = isNamespaced(kindOf(object), resources);
  if (namespaced === (metadata.namespace !== undefined)) return object;
  if (namespaced) return { ...object, metadata: { ...metadata, namespace: "default" } };
  const { namespace: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}
