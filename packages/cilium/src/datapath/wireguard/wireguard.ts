import { TC_ACT_OK, TC_ACT_REDIRECT, type TcContext } from "@cnilab/linux";
import { ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { type ExtendedError, sendDropNotify } from "../lib/drop.ts";
import { DROP_FRAG_NOSUPPORT, isError } from "../lib/drop-reason.ts";
import { lookupEndpoint, lookupRemoteEndpoint } from "../lib/eps.ts";
import { worldOf } from "../lib/identity.ts";
import { localDelivery } from "../lib/local-delivery.ts";
import {
  getIdentity,
  MARK_MAGIC_HOST_MASK,
  MARK_MAGIC_IDENTITY,
  MARK_MAGIC_OVERLAY,
} from "../lib/mark.ts";
import { clearMeta, skipNodePort, TC_INDEX_F_SKIP_NODEPORT } from "../lib/meta.ts";
import { NodePortOutcome } from "../lib/service-hooks.ts";
import {
  sendTraceNotify,
  TRACE_FROM_CRYPTO,
  TRACE_PAYLOAD_LEN,
  TRACE_TO_CRYPTO,
  unknownTrace,
} from "../lib/trace.ts";
import { ENDPOINT_MASK_HOST_DELIVERY } from "../maps/endpoint-map.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";
import { hostDelivery } from "../overlay/from-overlay.ts";

/** What WireGuard has opened (`cil_from_wireguard`), on the way into cilium_wg0. */
export function cilFromWireguard(ctx: TcContext, obj: BpfObject): number {
  ctx.tcIndex &= ~TC_INDEX_F_SKIP_NODEPORT;
  clearMeta(ctx);
  const { config } = obj;
  const { protocol } = ctx;
  const isIp =
    (protocol === ETH_P_IP && config.enableIpv4) || (protocol === ETH_P_IPV6 && config.enableIpv6);
  const src = isIp ? sourceOf(ctx, obj) : RESERVED_IDENTITY.unknown;
  sendTraceNotify(ctx, obj, TRACE_FROM_CRYPTO, {
    src,
    dst: 0,
    ifindex: ctx.ingressIfindex,
    monitor: TRACE_PAYLOAD_LEN,
  });
  if (!isIp) return TC_ACT_OK;
  const extErr = { value: 0 };
  const outcome = new NodePortOutcome();
  const ret = handleIp(ctx, obj, src, outcome, extErr);
  if (outcome.final || !isError(ret)) return ret;
  return sendDropNotify(ctx, obj, { src, reason: ret, extErr, direction: METRIC_INGRESS });
}

/** `resolve_srcid_ipv4`, `resolve_srcid_ipv6` of bpf_wireguard.c */
function sourceOf(ctx: TcContext, obj: BpfObject): NumericIdentity {
  const { src } = ctx.ip;
  const unknown = worldOf(src, obj);
  if (!obj.config.secctxFromIpcache) return unknown;
  return lookupRemoteEndpoint(ctx, obj, src)?.identity ?? unknown;
}

function handleIp(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  outcome: NodePortOutcome,
  extErr: ExtendedError,
): number {
  const { config } = obj;
  if (ctx.ip.isFragment && !config.fragmentsTracking) return DROP_FRAG_NOSUPPORT;
  if (config.lb.nodePort && !skipNodePort(ctx)) {
    const ret = obj.services.nodePortLb(ctx, obj, identity, outcome, extErr);
    if (outcome.final || ret < 0 || ret === TC_ACT_REDIRECT || outcome.puntToStack) return ret;
  }
  const endpoint = lookupEndpoint(ctx, obj, ctx.ip.dst);
  const isLocal = endpoint !== undefined && (endpoint.flags & ENDPOINT_MASK_HOST_DELIVERY) === 0;
  // The stack delivers by its routes, as its conntrack has to see both ways.
  if (isLocal && !config.hostRouting) return TC_ACT_OK;
  ctx.changeHead();
  if (!isLocal) return hostDelivery(ctx, obj);
  return localDelivery(ctx, obj, endpoint, {
    identity,
    direction: METRIC_INGRESS,
    magic: MARK_MAGIC_IDENTITY,
    fromHost: false,
    fromTunnel: false,
  });
}

/** What WireGuard is to hide (`cil_to_wireguard`), on the way out of cilium_wg0. */
export function cilToWireguard(ctx: TcContext, obj: BpfObject): number {
  const magic = ctx.mark & MARK_MAGIC_HOST_MASK;
  const src = magic === MARK_MAGIC_IDENTITY ? getIdentity(ctx.mark) : RESERVED_IDENTITY.unknown;
  clearMeta(ctx);
  const trace = unknownTrace();
  if (obj.config.lb.nodePort && magic !== MARK_MAGIC_OVERLAY) {
    const verdict = obj.services.natFwd(ctx, obj, src, true, trace, { value: 0 });
    if (verdict !== undefined) return verdict;
  }
  const { reason, monitor } = trace;
  const ifindex = obj.interfaceIfindex;
  sendTraceNotify(ctx, obj, TRACE_TO_CRYPTO, { src, dst: 0, ifindex, reason, monitor });
  return TC_ACT_OK;
}
