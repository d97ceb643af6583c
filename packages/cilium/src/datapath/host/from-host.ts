import type { TcContext } from "@cnilab/linux";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { sendDropNotify } from "../lib/drop.ts";
import { tailCallEgressPolicy } from "../lib/local-delivery.ts";
import {
  getEndpointId,
  inheritIdentityFromHost,
  MARK_MAGIC_HOST_MASK,
  MARK_MAGIC_PROXY_EGRESS,
  MARK_MAGIC_PROXY_EGRESS_EPID,
  MARK_MAGIC_PROXY_INGRESS,
} from "../lib/mark.ts";
import { TRACE_FROM_HOST, TRACE_FROM_PROXY } from "../lib/trace.ts";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";
import { doNetdev } from "./netdev.ts";

/** What the host's stack sends by cilium_host (`cil_from_host`), on the way out of it. */
export function cilFromHost(ctx: TcContext, obj: BpfObject): number {
  if (obj.config.lb.l7 && (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_PROXY_EGRESS_EPID) {
    const id = getEndpointId(ctx.mark);
    ctx.mark = 0;
    const ret = tailCallEgressPolicy(ctx, obj, id);
    if (ret >= 0) return ret;
    const src = RESERVED_IDENTITY.unknown;
    return sendDropNotify(ctx, obj, { src, reason: ret, direction: METRIC_EGRESS });
  }
  const { magic, identity } = inheritIdentityFromHost(ctx, obj);
  const isFromProxy = magic === MARK_MAGIC_PROXY_INGRESS || magic === MARK_MAGIC_PROXY_EGRESS;
  return doNetdev(ctx, obj, identity, isFromProxy ? TRACE_FROM_PROXY : TRACE_FROM_HOST, true);
}
