import { formatLabel, hasKey, LABEL_SOURCE, type Label, parseLabel } from "./label.ts";

/** Labels in the order of their keys; no key twice, whatever the sources (pkg/labels/labels.go Labels). */
export type LabelSet = readonly Label[];

/** Of labels with one key the last counts. */
export function labelSet(labels: Iterable<Label>): LabelSet {
  const byKey = new Map<string, Label>();
  for (const each of labels) byKey.set(each.key, each);
  return [...byKey.values()].sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
}

/** Of texts; what has no key is left out. */
export function parseLabels(texts: Iterable<string>): LabelSet {
  return labelSet([...texts].map(parseLabel).filter(({ key }) => key !== ""));
}

/** What identities with these labels are found by, in the order of keys (Labels.SortedList): `k8s:app=web;reserved:host=;`. */
export function identityKey(labels: LabelSet): string {
  let text = "";
  for (const { source, key, value } of labels) text += `${source}:${key}=${value};`;
  return text;
}

/** Back from {@link identityKey}. */
export function parseIdentityKey(key: string): LabelSet {
  return parseLabels(key.split(";"));
}

/** As texts, sorted; ranges of addresses as such (Labels.GetPrintableModel). */
export function printLabels(labels: LabelSet): readonly string[] {
  return labels
    .map((each) => (each.prefix === undefined ? formatLabel(each) : `cidr:${each.prefix}`))
    .sort();
}

/** As Kubernetes has labels: sources but its own stand before the key (Labels.K8sStringMap), as CiliumIdentity's metadata has them. */
export function kubernetesLabels(labels: LabelSet): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const { source, key, value } of labels) {
    texts[KUBERNETES_SOURCES.includes(source) ? key : `${source}.${key}`] = value;
  }
  return texts;
}

const KUBERNETES_SOURCES: readonly string[] = [
  LABEL_SOURCE.k8s,
  LABEL_SOURCE.any,
  LABEL_SOURCE.unspec,
];

/** With the source before the key (Labels.StringMap), as CiliumIdentity's `security-labels` has them. */
export function securityLabels(labels: LabelSet): Readonly<Record<string, string>> {
  return Object.fromEntries(
    labels.map(({ source, key, value }) => [`${source}:${key}`, value] as const),
  );
}

/** Back from {@link securityLabels}. */
export function fromSecurityLabels(texts: Readonly<Record<string, string>>): LabelSet {
  return labelSet(Object.entries(texts).map(([key, value]) => parseLabel(`${key}=${value}`)));
}

/** Whether there is a label with that key, of whatever source. */
export function hasLabelKey(labels: LabelSet, key: string): boolean {
  return labels.some((each) => each.key === key);
}

/** Whether all of `wanted` are among `labels`, as {@link hasKey} understands keys (LabelArray.Contains). */
export function containsLabels(labels: LabelSet, wanted: LabelSet): boolean {
  return wanted.every((one) =>
    labels.some((each) => hasKey(each, one) && each.value === one.value),
  );
}

export function sameLabels(x: LabelSet, y: LabelSet): boolean {
  return (
    x.length === y.length &&
    x.every((one, i) => {
      const other = y[i] as Label;
      return one.source === other.source && one.key === other.key && one.value === other.value;
    })
  );
}
