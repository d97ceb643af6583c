import { LABEL_SOURCE, type Label, label } from "./label.ts";
import type { LabelSet } from "./label-set.ts";

/** Labels of what is no pod (pkg/labels/labels.go IDName…). */
export type ReservedLabel =
  | "host"
  | "remote-node"
  | "world"
  | "world-ipv4"
  | "world-ipv6"
  | "health"
  | "init"
  | "kube-apiserver"
  | "overlay-to-encrypt"
  | "ingress"
  | "none"
  | "unmanaged"
  | "unknown";

export function reservedLabel(name: ReservedLabel): Label {
  return label(LABEL_SOURCE.reserved, name);
}

/** Whether the labels say `reserved:name`; the source is not looked at, as the agent does not (Labels.HasLabelWithKey). */
export function isReserved(labels: LabelSet, name: ReservedLabel): boolean {
  return labels.some((each) => each.key === name);
}

export function hasWorldLabel(labels: LabelSet): boolean {
  return WORLD.some((name) => isReserved(labels, name));
}

export function isWorldLabel({ source, key }: Label): boolean {
  return source === LABEL_SOURCE.reserved && (WORLD as readonly string[]).includes(key);
}

const WORLD = ["world", "world-ipv4", "world-ipv6"] as const;

/** What all addresses outside of the cluster have: one label for both families where the cluster has one of them alone. */
export function worldLabel(family: 4 | 6, dualStack: boolean): Label {
  if (!dualStack) return reservedLabel("world");
  return reservedLabel(family === 4 ? "world-ipv4" : "world-ipv6");
}
