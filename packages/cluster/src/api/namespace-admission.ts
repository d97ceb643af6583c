import type { Kinds, Labels, ObjectMeta } from "@cnilab/core";
import type { Admission } from "./admission.ts";

/** Label by which selectors find a namespace by its name. */
const NAME_LABEL = "kubernetes.io/metadata.name";

type Namespace = Kinds["Namespace"];

/** Gives every namespace the label with its name, and keeps it (pkg/apis/core/v1/defaults.go SetDefaults_Namespace). */
export const NAMESPACE_ADMISSION: Admission<"Namespace"> = {
  kind: "Namespace",
  create: withName,
  update: withName,
};

function withName(namespace: Namespace): Namespace {
  const { name, labels } = namespace.metadata;
  if (labels?.[NAME_LABEL] === name) return namespace;
  return {
    ...namespace,
    metadata: { ...namespace.metadata, labels: namespaceLabels(namespace.metadata) },
  };
}

/** A namespace's labels as they are stored, whatever they are given as. */
export function namespaceLabels({ name, labels }: ObjectMeta): Labels {
  return { ...labels, [NAME_LABEL]: name };
}
