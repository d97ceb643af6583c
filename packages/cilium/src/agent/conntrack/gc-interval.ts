// How often connections that are over are looked for (pkg/maps/ctmap/ctmap.go GetInterval, pkg/defaults).
const STARTING_INTERVAL_MS = 5 * 60_000;
const MIN_INTERVAL_MS = 10_000;
const MAX_INTERVAL_MS = 12 * 3_600_000;
const ROUNDING_MS = 1000;

/** Helm `conntrackGCInterval`, `conntrackGCMaxInterval`; 0 leaves it to what is found. */
export interface ConntrackGcConfig {
  readonly intervalMs: number;
  readonly maxIntervalMs: number;
}

/**
 * Milliseconds until the next time: sooner where much was found, later where hardly anything was.
 * @param actualMs since the time before; 0 for the first
 * @param expectedMs what was said then; 0 for the first
 * @param deleteRatio the greatest part of a map's room whose entries were over
 */
export function gcInterval(
  actualMs: number,
  expectedMs: number,
  deleteRatio: number,
  { intervalMs, maxIntervalMs }: ConntrackGcConfig,
): number {
  if (intervalMs !== 0) return intervalMs;
  let ratio = deleteRatio;
  if (expectedMs !== 0 && actualMs > 0 && actualMs < expectedMs) ratio *= expectedMs / actualMs;
  const interval = adjusted(expectedMs === 0 ? STARTING_INTERVAL_MS : expectedMs, ratio);
  return maxIntervalMs === 0 ? interval : Math.min(interval, maxIntervalMs);
}

/** `calculateInterval` */
function adjusted(interval: number, ratio: number): number {
  if (ratio === 0) return interval;
  if (ratio > 0.25)
    return Math.max(rounded(interval * (1 - Math.min(ratio, 0.9))), MIN_INTERVAL_MS);
  if (ratio < 0.05) return Math.min(rounded(interval * 1.5), MAX_INTERVAL_MS);
  return interval;
}

function rounded(ms: number): number {
  return Math.round(ms / ROUNDING_MS) * ROUNDING_MS;
}
