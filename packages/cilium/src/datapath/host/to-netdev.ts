import { TC_ACT_OK, TC_ACT_REDIRECT, type TcContext } from "@cnilab/linux";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, IPPROTO_ICMPV6 } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { type ExtendedError, sendDropNotify } from "../lib/drop.ts";
import { DROP_UNENCRYPTED_TRAFFIC, DROP_UNKNOWN_L3, isError } from "../lib/drop-reason.ts";
import { hostEgressLookup, hostPolicyEgress } from "../lib/host-firewall.ts";
import { handleHostIcmp6, SKIP_HOST_FIREWALL } from "../lib/icmp6.ts";
import { tailCallEgressPolicy } from "../lib/local-delivery.ts";
import {
  getEndpointId,
  getIdentity,
  isOverlay,
  isSnatDone,
  isWireguardMark,
  MARK_MAGIC_HOST,
  MARK_MAGIC_HOST_MASK,
  MARK_MAGIC_IDENTITY,
  MARK_MAGIC_OVERLAY,
  MARK_MAGIC_PROXY_EGRESS_EPID,
} from "../lib/mark.ts";
import { clearMeta } from "../lib/meta.ts";
import {
  sendTraceNotify,
  TRACE_REASON_ENCRYPTED,
  TRACE_TO_NETWORK,
  type TraceCtx,
  unknownTrace,
} from "../lib/trace.ts";
import { isPlainAllowed, maybeRedirectToEncrypt } from "../lib/wireguard.ts";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";
import { resolveSource } from "./netdev.ts";

/** What leaves for the network (`cil_to_netdev`), on the way out of a device of the node. */
export function cilToNetdev(ctx: TcContext, obj: BpfObject): number {
  clearMeta(ctx);
  const src = sourceOf(ctx, obj);
  const extErr = { value: 0 };
  const trace = unknownTrace();
  const { config } = obj;
  if (config.lb.l7 && (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_PROXY_EGRESS_EPID) {
    const id = getEndpointId(ctx.mark);
    ctx.mark = 0;
    const ret = tailCallEgressPolicy(ctx, obj, id);
    return ret >= 0 ? ret : drop(ctx, obj, src, ret, extErr);
  }
  if (config.hostFirewall && !isSnatDone(ctx)) {
    const ret = hostFirewall(ctx, obj, src, trace, extErr);
    if (ret === TC_ACT_REDIRECT) return ret;
    if (isError(ret)) return drop(ctx, obj, src, ret, extErr);
  }
  if (config.wireguardIfindex !== 0) {
    if (isWireguardMark(ctx, obj)) {
      trace.reason |= TRACE_REASON_ENCRYPTED;
    } else {
      const ret = maybeRedirectToEncrypt(ctx, obj, src);
      if (ret === TC_ACT_REDIRECT) return ret;
    }
    if (!isPlainAllowed(ctx, obj)) return drop(ctx, obj, src, DROP_UNENCRYPTED_TRAFFIC, extErr);
  }
  if (
    config.lb.nodePort &&
    !isSnatDone(ctx) &&
    !isOverlay(ctx, obj) &&
    !isWireguardMark(ctx, obj)
  ) {
    const verdict = obj.services.natFwd(ctx, obj, src, false, trace, extErr);
    if (verdict !== undefined) return verdict;
  }
  const { reason, monitor } = trace;
  const ifindex = obj.interfaceIfindex;
  sendTraceNotify(ctx, obj, TRACE_TO_NETWORK, { src, dst: 0, ifindex, reason, monitor });
  return TC_ACT_OK;
}

function sourceOf(ctx: TcContext, obj: BpfObject): NumericIdentity {
  const magic = ctx.mark & MARK_MAGIC_HOST_MASK;
  if (magic === MARK_MAGIC_HOST || magic === MARK_MAGIC_OVERLAY || isWireguardMark(ctx, obj)) {
    return RESERVED_IDENTITY.host;
  }
  const isMarked = obj.config.identityMark && magic === MARK_MAGIC_IDENTITY;
  return isMarked ? getIdentity(ctx.mark) : RESERVED_IDENTITY.unknown;
}

/** `handle_to_netdev_ipv4`, `handle_to_netdev_ipv6` */
function hostFirewall(
  ctx: TcContext,
  obj: BpfObject,
  src: NumericIdentity,
  trace: TraceCtx,
  extErr: ExtendedError,
): number {
  const { protocol } = ctx;
  const { enableIpv4, enableIpv6 } = obj.config;
  if (protocol === ETH_P_ARP) return TC_ACT_OK;
  if (protocol === ETH_P_IPV6 && enableIpv6) {
    if (ctx.ip.protocol === IPPROTO_ICMPV6) {
      const ret = handleHostIcmp6(ctx, obj, false);
      if (ret === SKIP_HOST_FIREWALL) return TC_ACT_OK;
      if (isError(ret)) return ret;
    }
  } else if (protocol !== ETH_P_IP || !enableIpv4) {
    return DROP_UNKNOWN_L3;
  }
  // Only whether the host sends it counts.
  const { host, unknown } = RESERVED_IDENTITY;
  const source = resolveSource(ctx, obj, src === host ? host : unknown, true);
  const ct = hostEgressLookup(ctx, obj, source.identity, source.ipcache);
  if (ct === undefined) return TC_ACT_OK;
  if (ct.ret < 0) return ct.ret;
  return hostPolicyEgress(ctx, obj, source.identity === host, ct, trace, extErr);
}

function drop(
  ctx: TcContext,
  obj: BpfObject,
  src: NumericIdentity,
  reason: number,
  extErr: ExtendedError,
): number {
  return sendDropNotify(ctx, obj, { src, reason, extErr, direction: METRIC_EGRESS });
}
