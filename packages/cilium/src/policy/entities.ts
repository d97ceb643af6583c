import type { Entity } from "../api/v2/rule.ts";
import { EndpointSelector } from "../labels/endpoint-selector.ts";
import { POLICY_CLUSTER_LABEL } from "../labels/kubernetes-labels.ts";
import { LABEL_SOURCE, label } from "../labels/label.ts";
import { type ReservedLabel, reservedLabel } from "../labels/reserved-labels.ts";

// Entities as selectors (pkg/policy/api/entity.go).

/** Labels of which one is enough. */
const LABELS: Readonly<Record<Exclude<Entity, "all">, readonly ReservedLabel[]>> = {
  world: ["world", "world-ipv4", "world-ipv6"],
  "world-ipv4": ["world-ipv4"],
  "world-ipv6": ["world-ipv6"],
  host: ["host"],
  init: ["init"],
  ingress: ["ingress"],
  "remote-node": ["remote-node"],
  health: ["health"],
  unmanaged: ["unmanaged"],
  none: ["none"],
  "kube-apiserver": ["kube-apiserver"],
  // And what has the cluster's name.
  cluster: ["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"],
};

export function isEntity(text: string): text is Entity {
  return text === "all" || Object.hasOwn(LABELS, text);
}

export function entitySelectors(entity: Entity, clusterName: string): readonly EndpointSelector[] {
  if (entity === "all") return [WILDCARD];
  const selectors = LABELS[entity].map(reservedSelector);
  if (entity !== "cluster") return selectors;
  const ofCluster = label(LABEL_SOURCE.k8s, POLICY_CLUSTER_LABEL, clusterName);
  return [...selectors, EndpointSelector.ofLabels(ofCluster)];
}

export function reservedSelector(name: ReservedLabel): EndpointSelector {
  return EndpointSelector.ofLabels(reservedLabel(name));
}

/** What selects everything. */
export const WILDCARD: EndpointSelector = new EndpointSelector();
