import { flowLayers } from "./flow-layers.ts";
import type { TraceMessage } from "./monitor-message.ts";
import { TRACE_POINTS } from "./monitor-messages.ts";

/** Helm `bpf.monitorAggregation`: how many of a connection's packets are told of. */
export const MONITOR_AGGREGATIONS = ["none", "low", "medium"] as const;

export type MonitorAggregation = (typeof MONITOR_AGGREGATIONS)[number];

/** Helm `bpf.monitorInterval`, in milliseconds. */
const INTERVAL = 5000;
/** Connections that are remembered at most, over all of whose places. */
const MOST = 65_536;

/**
 * Leaves out what says nothing new (bpf/lib/trace.h `emit_trace_notify`): `low` what has just come in, which is told of
 * when it goes on; `medium` also packets of a known connection with no new TCP flag, unless 5 seconds have gone by.
 */
export class MonitorAggregator {
  readonly #level: MonitorAggregation;
  readonly #told = new Map<string, { flags: ReadonlySet<string>; time: number }>();

  constructor(level: MonitorAggregation) {
    this.#level = level;
  }

  isTold(message: TraceMessage): boolean {
    if (this.#level === "none") return true;
    const point = TRACE_POINTS[message.obsPoint] ?? "";
    // What comes from a proxy or the crypto device has been told of under another name, and goes on as itself.
    if (point.startsWith("from-")) return false;
    if (this.#level === "low") return true;
    const { fields, srcPort, dstPort } = flowLayers(message.frame, message.l3 ?? false);
    const ends = `${fields.IP?.source} ${srcPort} ${fields.IP?.destination} ${dstPort}`;
    const key = `${message.node} ${point} ${ends} ${fields.tunnel?.protocol ?? ""} ${Object.keys(fields.l4 ?? {})}`;
    const flags = Object.keys(fields.l4?.TCP?.flags ?? {});
    const before = this.#told.get(key);
    const isNew =
      before === undefined ||
      message.time - before.time >= INTERVAL ||
      flags.some((flag) => !before.flags.has(flag));
    if (isNew) {
      if (this.#told.size >= MOST) this.#told.clear();
      this.#told.set(key, {
        flags: new Set([...(before?.flags ?? []), ...flags]),
        time: message.time,
      });
    }
    return isNew;
  }
}
