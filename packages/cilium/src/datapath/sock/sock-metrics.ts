import type { BpfHash } from "@cnilab/linux";
import type { MetricsKey, MetricsValue } from "../maps/metrics-map.ts";

// Reasons of what sockets were not given or told (bpf/lib/common.h REASON_LB_*).
export const REASON_LB_NO_BACKEND_SLOT = 5;
export const REASON_LB_NO_BACKEND = 6;
export const REASON_LB_REVNAT_UPDATE = 7;
export const REASON_LB_REVNAT_STALE = 8;
export const REASON_LB_REVNAT_DELETE = 14;

/** `update_metrics` where there is no packet. */
export function countSocketMetric(
  metrics: BpfHash<MetricsKey, MetricsValue>,
  direction: number,
  reason: number,
): void {
  const key = { reason, direction };
  const value = metrics.find(key);
  if (value !== undefined) value.count++;
  else metrics.write(key, { count: 1, bytes: 0 });
}
