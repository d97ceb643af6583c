import type { Node, NodeAffinityTerm, Pod, Taint } from "@cnilab/core";

/** Why a node does not suit a pod, as the scheduler's message says it; `undefined` when it does. */
export function unfitness(node: Node, pod: Pod): string | undefined {
  const labels = node.metadata.labels ?? {};
  const { spec } = pod;
  if (node.metadata.deletionTimestamp !== undefined) return "node(s) were going away";
  if (node.spec?.unschedulable === true && !tolerates(pod, UNSCHEDULABLE)) {
    return "node(s) were unschedulable";
  }
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect === "PreferNoSchedule" || tolerates(pod, taint)) continue;
    return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  }
  for (const name in spec.nodeSelector) {
    if (labels[name] !== spec.nodeSelector[name]) {
      return "node(s) didn't match Pod's node affinity/selector";
    }
  }
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms !== undefined && !terms.some((term) => matches(term, node))) {
    return "node(s) didn't match Pod's node affinity/selector";
  }
  return undefined;
}

const UNSCHEDULABLE: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

export function tolerates(pod: Pod, taint: Taint): boolean {
  for (const { key, operator = "Equal", value = "", effect } of pod.spec.tolerations ?? []) {
    if (effect !== undefined && effect !== "" && effect !== taint.effect) continue;
    if (key === undefined || key === "") {
      if (operator === "Exists") return true;
      continue;
    }
    if (key === taint.key && (operator === "Exists" || value === (taint.value ?? ""))) return true;
  }
  return false;
}

function matches(term: NodeAffinityTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    expressions.every((e) => satisfied(e, labels[e.key])) &&
    // The one field that there is: metadata.name.
    fields.every((f) => satisfied(f, node.metadata.name))
  );
}

function satisfied(
  { operator, values = [] }: NonNullable<NodeAffinityTerm["matchExpressions"]>[number],
  value: string | undefined,
): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return value !== undefined && Number(value) > Number(values[0]);
    case "Lt":
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}
