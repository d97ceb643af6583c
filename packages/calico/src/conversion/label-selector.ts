import type { LabelSelector, LabelSelectorRequirement } from "@cnilab/core";
import { compareUtf8 } from "../selector/compare-utf8.ts";
import { LABEL_ORCHESTRATOR } from "./labels.ts";

/** Every selector of pods has this, so that host endpoints and network sets are none of them. */
export const KUBERNETES_ENDPOINT: string = `${LABEL_ORCHESTRATOR} == 'k8s'`;

/** A selector of pods in Calico's words (`libcalico-go/lib/backend/k8s/conversion/conversion.go` k8sSelectorToCalico). Absent: all pods. */
export function podSelectorText(selector: LabelSelector | undefined): string {
  return [KUBERNETES_ENDPOINT, ...terms(selector)].join(" && ");
}

/** A selector of namespaces: empty where there is none, and `all()` where it has no terms. */
export function namespaceSelectorText(selector: LabelSelector | undefined): string {
  if (selector === undefined) return "";
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return "all()";
  return terms(selector).join(" && ");
}

function terms({ matchLabels = {}, matchExpressions = [] }: LabelSelector = {}): readonly string[] {
  return [
    ...Object.keys(matchLabels)
      .sort(compareUtf8)
      .map((key) => `${key} == '${matchLabels[key]}'`),
    ...matchExpressions.map(expressionTerm),
  ];
}

function expressionTerm({ key, operator, values = [] }: LabelSelectorRequirement): string {
  switch (operator) {
    case "In":
      return `${key} in { '${values.join("', '")}' }`;
    case "NotIn":
      return `${key} not in { '${values.join("', '")}' }`;
    case "Exists":
      return `has(${key})`;
    case "DoesNotExist":
      return `! has(${key})`;
  }
}
