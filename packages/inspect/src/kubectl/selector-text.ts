import type { LabelSelector, Labels } from "@cnilab/core";

/** `a=1,b=2`, sorted; `<none>` for no labels. */
export function labelsText(labels: Labels | undefined): string {
  const pairs = Object.entries(labels ?? {}).sort(([x], [y]) => (x < y ? -1 : 1));
  return pairs.length === 0 ? "<none>" : pairs.map(([k, v]) => `${k}=${v}`).join(",");
}

/** A selector as `metav1.FormatLabelSelector` writes it; `<none>` for one that admits all. */
export function selectorText(selector: LabelSelector | undefined): string {
  return requirementsText(selector) || "<none>";
}

/** The same, but empty for a selector that admits all (`labels.Selector.String`). */
export function requirementsText(selector: LabelSelector | undefined): string {
  const requirements = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => ({
    key,
    text: `${key}=${value}`,
  }));
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    const list = `(${[...values].sort().join(",")})`;
    switch (operator) {
      case "In":
        requirements.push({ key, text: `${key} in ${list}` });
        break;
      case "NotIn":
        requirements.push({ key, text: `${key} notin ${list}` });
        break;
      case "Exists":
        requirements.push({ key, text: key });
        break;
      case "DoesNotExist":
        requirements.push({ key, text: `!${key}` });
        break;
    }
  }
  return requirements
    .sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0))
    .map(({ text }) => text)
    .join(",");
}
