import type { LabelSelector, LabelSelectorRequirement } from "@cnilab/core";

/**
 * A selector as kubectl's `-l` takes it: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, separated by commas
 * (`metav1.ParseToLabelSelector`).
 */
export function parseLabelSelector(text: string): LabelSelector | undefined {
  const matchExpressions: LabelSelectorRequirement[] = [];
  const matchLabels: Record<string, string> = {};
  for (const part of text.split(/,(?![^(]*\))/).map((each) => each.trim())) {
    const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
    const equal = /^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!]*)$/.exec(part);
    const exists = /^(!?)\s*([^\s=!()]+)$/.exec(part);
    if (set !== null) {
      const [, key, operator, values] = set as unknown as [string, string, string, string];
      matchExpressions.push({
        key,
        operator: operator === "in" ? "In" : "NotIn",
        values: values.split(",").map((value) => value.trim()),
      });
    } else if (equal !== null) {
      const [, key, operator, value] = equal as unknown as [string, string, string, string];
      if (operator === "!=") matchExpressions.push({ key, operator: "NotIn", values: [value] });
      else matchLabels[key] = value;
    } else if (exists !== null) {
      const [, not, key] = exists as unknown as [string, string, string];
      matchExpressions.push({ key, operator: not === "!" ? "DoesNotExist" : "Exists" });
    } else {
      return undefined;
    }
  }
  return { matchLabels, matchExpressions };
}
