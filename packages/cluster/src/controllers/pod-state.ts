import type { Pod } from "@cnilab/core";

/** Whether the pod has the condition `Ready`. */
export function isReady(pod: Pod): boolean {
  for (const { type, status } of pod.status?.conditions ?? []) {
    if (type === "Ready") return status === "True";
  }
  return false;
}

/** Whether all its containers have ended for good. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** Whether a controller counts it among its pods. */
export function isActive(pod: Pod): boolean {
  return !isTerminating(pod) && !isFinished(pod);
}

/**
 * Order in which pods are given up: those that were never bound first, then those that are not ready,
 * then the youngest (kube-controller-manager `ActivePods`).
 */
export function byWorth(x: Pod, y: Pod): number {
  return worth(x) - worth(y) || version(y) - version(x);
}

function worth(pod: Pod): number {
  if (pod.spec.nodeName === undefined) return 0;
  return isReady(pod) ? 2 : 1;
}

function version(pod: Pod): number {
  return Number(pod.metadata.resourceVersion);
}
