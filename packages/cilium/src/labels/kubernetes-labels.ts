import type { Labels } from "@cnilab/core";
import { LABEL_SOURCE, label } from "./label.ts";
import { type LabelSet, labelSet } from "./label-set.ts";

// Keys of labels that the agent gives to pods (pkg/k8s/apis/cilium.io/const.go).

export const POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
/** Before the key of each label of the pod's namespace, with a dot between. */
export const POD_NAMESPACE_META_LABELS = "io.cilium.k8s.namespace.labels";
export const POLICY_CLUSTER_LABEL = "io.cilium.k8s.policy.cluster";
export const POLICY_SERVICE_ACCOUNT_LABEL = "io.cilium.k8s.policy.serviceaccount";

/** What the API server gives to pods that name none. */
export const DEFAULT_SERVICE_ACCOUNT = "default";

/** What a pod is labelled with, before anything is filtered (pkg/k8s/labels.go SanitizePodLabels). */
export interface LabelledPod {
  readonly namespace: string;
  readonly labels: Labels;
  readonly namespaceLabels: Labels;
  readonly serviceAccount: string;
  readonly cluster: string;
}

/** A pod's own labels cannot stand for those that the agent makes. */
export function podLabels(pod: LabelledPod): LabelSet {
  const texts = new Map(
    Object.entries(pod.labels).filter(([key]) => !key.startsWith("io.cilium.k8s")),
  );
  for (const [key, value] of Object.entries(pod.namespaceLabels)) {
    texts.set(`${POD_NAMESPACE_META_LABELS}.${key}`, value);
  }
  texts.set(POD_NAMESPACE_LABEL, pod.namespace);
  if (pod.serviceAccount === "") texts.delete(POLICY_SERVICE_ACCOUNT_LABEL);
  else texts.set(POLICY_SERVICE_ACCOUNT_LABEL, pod.serviceAccount);
  texts.set(POLICY_CLUSTER_LABEL, pod.cluster);
  return labelSet([...texts].map(([key, value]) => label(LABEL_SOURCE.k8s, key, value)));
}
