import { BpfHash, type Kernel } from "@cnilab/linux";

export const METRIC_INGRESS = 1;
export const METRIC_EGRESS = 2;
export const METRIC_SERVICE = 3;

/** `struct metrics_key`, without the line of the source. */
export interface MetricsKey {
  /** 0 for packets that went on, else as in hubble/drop-reasons.ts. */
  readonly reason: number;
  readonly direction: number;
}

/** `struct metrics_value`. */
export interface MetricsValue {
  count: number;
  bytes: number;
}

export type MetricsMap = BpfHash<MetricsKey, MetricsValue>;

/** `cilium_metrics` (bpf/lib/metrics.h). */
export function metricsMap(kernel: Kernel, maxEntries: number): MetricsMap {
  return new BpfHash<MetricsKey, MetricsValue>(
    kernel,
    {
      name: "cilium_metrics",
      maxEntries,
      pack: ({ reason, direction }) => reason * 4 + direction,
      text: {
        key: ({ reason, direction }) => `${reason} ${DIRECTIONS[direction] ?? "UNKNOWN"}`,
        value: ({ count, bytes }) => `${count} ${bytes}`,
      },
    },
    "percpu_hash",
  );
}

const DIRECTIONS: Readonly<Record<number, string>> = {
  [METRIC_INGRESS]: "INGRESS",
  [METRIC_EGRESS]: "EGRESS",
  [METRIC_SERVICE]: "SERVICE",
};
