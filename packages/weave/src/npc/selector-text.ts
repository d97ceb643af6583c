import type { LabelSelector } from "@cnilab/core";

/** A selector as Kubernetes prints it, by key (apimachinery labels.Selector String). */
export function selectorText(selector: LabelSelector): string {
  const terms = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    text: `${key}=${value}`,
  }));
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const list = `(${[...values].sort().join(",")})`;
    const text = {
      In: `${key} in ${list}`,
      NotIn: `${key} notin ${list}`,
      Exists: key,
      DoesNotExist: `!${key}`,
    }[operator];
    terms.push({ key, text });
  }
  const byKey = terms.sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
  return byKey.map(({ text }) => text).join(",");
}
