import type { TcContext } from "@cnilab/linux";
import type { MetricsMap, MetricsValue } from "../maps/metrics-map.ts";
import type { BpfObject } from "./bpf-object.ts";

// Reasons of packets that were not dropped (bpf/lib/common.h REASON_*).
export const REASON_FORWARDED = 0;
export const REASON_PLAINTEXT = 3;
export const REASON_DECRYPT = 4;
export const REASON_FRAG_PACKET = 9;
export const REASON_FRAG_PACKET_UPDATE = 10;
export const REASON_DECRYPTING = 12;
export const REASON_ENCRYPTING = 13;

/** Values of each map by key: they are never taken out, and each packet counts some. */
const values = new WeakMap<MetricsMap, MetricsValue[]>();

/** `update_metrics`. The look-up is none that says anything in a trace. */
export function updateMetrics(
  ctx: TcContext,
  { maps }: BpfObject,
  direction: number,
  reason: number,
): void {
  const value = metricOf(maps.metrics, direction, reason);
  if (value === undefined) return;
  const bytes = ctx.length;
  value.count++;
  value.bytes += bytes;
  if (ctx.network.recording === undefined) return;
  ctx.effect({
    repeat(packets) {
      value.count += packets;
      value.bytes += packets * bytes;
    },
  });
}

function metricOf(map: MetricsMap, direction: number, reason: number): MetricsValue | undefined {
  let known = values.get(map);
  if (known === undefined) {
    known = [];
    values.set(map, known);
  }
  const at = reason * 4 + direction;
  let value = known[at];
  if (value === undefined) {
    const key = { reason, direction };
    value = map.find(key) ?? { count: 0, bytes: 0 };
    // Full: it is not counted.
    if (map.write(key, value) !== undefined) return undefined;
    known[at] = value;
  }
  return value;
}
