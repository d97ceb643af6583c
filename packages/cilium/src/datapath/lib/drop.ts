import { TC_ACT_SHOT, type TcContext } from "@cnilab/linux";
import { dropReasonText } from "../../hubble/drop-reasons.ts";
import { MESSAGE_TYPE } from "../../hubble/monitor-messages.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import { updateMetrics } from "./metrics.ts";

/** Who said more about an error than its number (`ext_err`). */
export interface ExtendedError {
  value: number;
}

export interface DropNotify {
  readonly src: number;
  readonly dst?: number;
  /** The endpoint that it was for, on the way in. */
  readonly dstId?: number;
  /** Less than 0, as functions return it. */
  readonly reason: number;
  readonly extErr?: ExtendedError;
  /** `METRIC_INGRESS` or `METRIC_EGRESS` */
  readonly direction: number;
  /** What the program says; drops it if absent. */
  readonly exitCode?: number;
}

/** Drops a packet, counts it, and tells why (`send_drop_notify`). @returns what the program is to say */
export function sendDropNotify(ctx: TcContext, obj: BpfObject, drop: DropNotify): number {
  const { extErr, direction, exitCode = TC_ACT_SHOT } = drop;
  const reason = Math.abs(drop.reason) & 0xff;
  updateMetrics(ctx, obj, direction, reason);
  const { events } = obj.maps;
  if (events.isRead && obj.config.dropNotify) {
    ctx.output(events, {
      type: MESSAGE_TYPE.drop,
      node: obj.config.nodeName,
      time: ctx.now,
      frame: ctx.skb.frame(),
      l3: !ctx.hasMacHeader,
      source: obj.eventSource,
      direction: direction === METRIC_INGRESS ? "INGRESS" : "EGRESS",
      reason,
      srcLabel: drop.src,
      dstLabel: drop.dst ?? 0,
    });
  }
  if (exitCode === TC_ACT_SHOT) return ctx.shot(dropReasonText(reason, extErr?.value));
  return exitCode;
}
