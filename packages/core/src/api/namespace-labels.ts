import type { KubeObject, Labels, ObjectMeta } from "./meta.ts";

/** By this label selectors find a namespace by its name; the API server gives it to every one. */
export const NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name";

/** A namespace's labels as they are stored, whatever they are given as (pkg/apis/core/v1/defaults.go SetDefaults_Namespace). */
export function namespaceLabels({ name, labels }: Pick<ObjectMeta, "name" | "labels">): Labels {
  return { ...labels, [NAMESPACE_NAME_LABEL]: name };
}

/** A namespace as it is stored; it and objects of other kinds come back as they are where nothing is missing. */
export function withNamespaceLabel<T extends KubeObject>(object: T): T {
  const { kind, metadata } = object;
  if (kind !== "Namespace" || metadata.labels?.[NAMESPACE_NAME_LABEL] === metadata.name)
    return object;
  return { ...object, metadata: { ...metadata, labels: namespaceLabels(metadata) } };
}
