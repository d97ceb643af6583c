import type { IpAddress } from "@cnilab/net";
import type { Hop } from "./route.ts";

/** Metric of a way that no IGP knows (BIRD `IGP_METRIC_UNKNOWN`). */
export const IGP_METRIC_UNKNOWN = 0x80000000;

/** A next hop of BGP and what the table makes of it (BIRD `hostentry`). */
export interface HostEntry {
  readonly address: IpAddress;
  /** `undefined` while there is no way to it: its routes are unreachable. */
  hops: readonly Hop[] | undefined;
  /** Whether the way is a route that drops packets. */
  blackhole: boolean;
  igpMetric: number;
  /** Routes that use it. */
  users: number;
}

/** Whether a next hop leads somewhere (`rte_resolvable`: anything but unreachable). */
export function isResolvable(entry: HostEntry): boolean {
  return entry.hops !== undefined || entry.blackhole;
}
