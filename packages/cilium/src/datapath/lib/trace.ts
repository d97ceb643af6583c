import type { TcContext } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { MESSAGE_TYPE, TRACE_REASON } from "../../hubble/monitor-messages.ts";
import { METRIC_EGRESS, METRIC_INGRESS } from "../maps/metrics-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import {
  REASON_DECRYPT,
  REASON_DECRYPTING,
  REASON_ENCRYPTING,
  REASON_FORWARDED,
  REASON_PLAINTEXT,
  updateMetrics,
} from "./metrics.ts";

// Where packets are told of: indices of `TRACE_POINTS`.
export const TRACE_TO_LXC = 0;
export const TRACE_TO_PROXY = 1;
export const TRACE_TO_HOST = 2;
export const TRACE_TO_STACK = 3;
export const TRACE_TO_OVERLAY = 4;
export const TRACE_FROM_LXC = 5;
export const TRACE_FROM_PROXY = 6;
export const TRACE_FROM_HOST = 7;
export const TRACE_FROM_STACK = 8;
export const TRACE_FROM_OVERLAY = 9;
export const TRACE_FROM_NETWORK = 10;
export const TRACE_TO_NETWORK = 11;
export const TRACE_FROM_CRYPTO = 12;
export const TRACE_TO_CRYPTO = 13;

/** Bytes of a packet that a message shows; 0 is no message at all. */
export const TRACE_PAYLOAD_LEN = 128;
export const TRACE_REASON_ENCRYPTED = 0x80;

/** `struct trace_ctx`: what connection tracking says of the packet to whom it is told of. */
export interface TraceCtx {
  reason: number;
  monitor: number;
}

export function unknownTrace(monitor = 0): TraceCtx {
  return { reason: TRACE_REASON.unknown, monitor };
}

export interface TraceNotify {
  readonly src: number;
  readonly dst: number;
  /** The endpoint it goes to, or a proxy's port. */
  readonly dstId?: number;
  readonly ifindex?: number;
  /** Absent: nothing is known. */
  readonly reason?: number;
  readonly monitor: number;
  /** The source before it was translated. */
  readonly origIp?: IpAddress;
}

/** `send_trace_notify`, `send_trace_notify4`, `send_trace_notify6` */
export function sendTraceNotify(
  ctx: TcContext,
  obj: BpfObject,
  obsPoint: number,
  notify: TraceNotify,
): void {
  const { reason = TRACE_REASON.unknown, monitor } = notify;
  updateTraceMetrics(ctx, obj, obsPoint, reason);
  const { events } = obj.maps;
  if (!events.isRead || !obj.config.traceNotify) return;
  if (!isTold(obj, obsPoint, monitor)) return;
  const { ifindex = 0 } = notify;
  const dev = ifindex === 0 ? undefined : ctx.netns.findDeviceByIndex(ifindex);
  ctx.output(events, {
    type: MESSAGE_TYPE.trace,
    node: obj.config.nodeName,
    time: ctx.now,
    frame: ctx.skb.frame(),
    l3: !ctx.hasMacHeader,
    source: obj.eventSource,
    obsPoint,
    reason: reason & ~TRACE_REASON_ENCRYPTED,
    encrypted: (reason & TRACE_REASON_ENCRYPTED) !== 0,
    srcLabel: notify.src,
    dstLabel: notify.dst,
    ifindex,
    ...(dev !== undefined && { ifname: dev.name }),
    ...(notify.origIp !== undefined && { origIp: notify.origIp }),
  });
}

/** `emit_trace_notify` */
function isTold({ config }: BpfObject, obsPoint: number, monitor: number): boolean {
  const { monitorAggregation } = config;
  if (monitorAggregation === "none") return true;
  if (
    (obsPoint >= TRACE_FROM_LXC && obsPoint <= TRACE_FROM_NETWORK) ||
    obsPoint === TRACE_FROM_CRYPTO
  )
    return false;
  return monitorAggregation === "low" || monitor !== 0;
}

/** `update_trace_metrics` */
function updateTraceMetrics(
  ctx: TcContext,
  obj: BpfObject,
  obsPoint: number,
  reason: number,
): void {
  const encrypted = (reason & TRACE_REASON_ENCRYPTED) !== 0;
  switch (obsPoint) {
    case TRACE_TO_LXC:
      updateMetrics(ctx, obj, METRIC_INGRESS, REASON_FORWARDED);
      break;
    case TRACE_TO_HOST:
    case TRACE_TO_STACK:
    case TRACE_TO_OVERLAY:
    case TRACE_TO_NETWORK:
      updateMetrics(ctx, obj, METRIC_EGRESS, REASON_FORWARDED);
      break;
    case TRACE_FROM_HOST:
    case TRACE_FROM_STACK:
    case TRACE_FROM_OVERLAY:
    case TRACE_FROM_NETWORK:
      updateMetrics(ctx, obj, METRIC_INGRESS, encrypted ? REASON_DECRYPT : REASON_PLAINTEXT);
      break;
    case TRACE_TO_CRYPTO:
      updateMetrics(ctx, obj, METRIC_EGRESS, REASON_ENCRYPTING);
      break;
    case TRACE_FROM_CRYPTO:
      updateMetrics(ctx, obj, METRIC_INGRESS, REASON_DECRYPTING);
      break;
    default:
    // Between endpoints local delivery counts; what proxies see they count themselves.
  }
}
