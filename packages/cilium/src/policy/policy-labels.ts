import type { ObjectMeta } from "@cnilab/core";
import type { RuleLabel } from "../api/v2/rule.ts";

/** Of which object a rule is, beside the labels that its author gave (pkg/k8s/apis/cilium.io/utils/utils.go GetPolicyLabels). */
export function policyLabels(
  kind: string,
  { name, namespace, uid }: Pick<ObjectMeta, "name" | "namespace" | "uid">,
  more: readonly RuleLabel[] = [],
): readonly RuleLabel[] {
  const labels: RuleLabel[] = [k8s("derived-from", kind), k8s("name", name)];
  if (namespace !== undefined && namespace !== "") labels.push(k8s("namespace", namespace));
  labels.push(k8s("uid", uid ?? ""));
  return [...labels, ...more].sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
}

function k8s(key: string, value: string): RuleLabel {
  return {
    key: `io.cilium.k8s.policy.${key}`,
    ...(value !== "" && { value }),
    source: "k8s",
  };
}
