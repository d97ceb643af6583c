import { PACKET_HOST, TC_ACT_OK, TC_ACT_REDIRECT, type TcContext } from "@cnilab/linux";
import { ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { type ExtendedError, sendDropNotify } from "../lib/drop.ts";
import {
  DROP_FRAG_NOSUPPORT,
  DROP_INVALID_IDENTITY,
  DROP_NO_TUNNEL_KEY,
  DROP_UNKNOWN_L3,
  isError,
} from "../lib/drop-reason.ts";
import { lookupEndpoint, lookupRemoteEndpoint } from "../lib/eps.ts";
import { identityOfTunnelId, isRemoteNode, isWorldOf } from "../lib/identity.ts";
import { forwardL3 } from "../lib/l3.ts";
import { localDelivery } from "../lib/local-delivery.ts";
import { MARK_MAGIC_IDENTITY, setIdentityMark } from "../lib/mark.ts";
import { clearMeta, skipNodePort, TC_INDEX_F_SKIP_NODEPORT } from "../lib/meta.ts";
import { isDsrEnabled } from "../lib/nodeport/uses-dsr.ts";
import { NodePortOutcome } from "../lib/service-hooks.ts";
import { sendTraceNotify, TRACE_FROM_OVERLAY, TRACE_PAYLOAD_LEN } from "../lib/trace.ts";
import { ENDPOINT_MASK_HOST_DELIVERY } from "../maps/endpoint-map.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";

/** What comes out of the tunnel (`cil_from_overlay`), on the way into its device. */
export function cilFromOverlay(ctx: TcContext, obj: BpfObject): number {
  clearMeta(ctx);
  ctx.tcIndex &= ~TC_INDEX_F_SKIP_NODEPORT;
  const { config } = obj;
  const { protocol } = ctx;
  let src: NumericIdentity = RESERVED_IDENTITY.unknown;
  if (protocol === ETH_P_IP || protocol === ETH_P_IPV6) {
    const { tunnelKey } = ctx;
    if (tunnelKey === undefined) return drop(ctx, obj, src, DROP_NO_TUNNEL_KEY, { value: 0 });
    src = identityOfTunnelId(tunnelKey.tunnelId, ctx.ip.src, obj);
    // Who sends for his own host says that he is a remote node.
    if (src === RESERVED_IDENTITY.host) {
      return drop(ctx, obj, src, DROP_INVALID_IDENTITY, { value: 0 });
    }
  }
  sendTraceNotify(ctx, obj, TRACE_FROM_OVERLAY, {
    src,
    dst: 0,
    ifindex: ctx.ingressIfindex,
    monitor: TRACE_PAYLOAD_LEN,
  });
  if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return TC_ACT_OK;
  if (!(protocol === ETH_P_IP ? config.enableIpv4 : config.enableIpv6)) {
    return drop(ctx, obj, src, DROP_UNKNOWN_L3, { value: 0 });
  }
  return handleIp(ctx, obj, src);
}

function drop(
  ctx: TcContext,
  obj: BpfObject,
  src: NumericIdentity,
  reason: number,
  extErr: ExtendedError,
): number {
  return sendDropNotify(ctx, obj, { src, reason, extErr, direction: METRIC_INGRESS });
}

/** `tail_handle_ipv4`, `handle_ipv4` of bpf_overlay.c, and those of IPv6 */
function handleIp(ctx: TcContext, obj: BpfObject, given: NumericIdentity): number {
  const { config } = obj;
  const { ip } = ctx;
  const extErr = { value: 0 };
  let identity = given;
  if (ip.isFragment && !config.fragmentsTracking) {
    return drop(ctx, obj, identity, DROP_FRAG_NOSUPPORT, extErr);
  }
  let isDsr = false;
  if (config.lb.nodePort && !skipNodePort(ctx)) {
    const outcome = new NodePortOutcome();
    const ret = obj.services.nodePortLb(ctx, obj, identity, outcome, extErr);
    if (outcome.final) return ret;
    if (ret < 0) return drop(ctx, obj, identity, ret, extErr);
    if (ret === TC_ACT_REDIRECT || outcome.puntToStack) return ret;
    isDsr = outcome.isDsr;
  }
  const packet = ctx.ip;
  const info = lookupRemoteEndpoint(ctx, obj, packet.src);
  // Which of the other nodes it is, the sender does not say; nor of which range of the world.
  if (
    info !== undefined &&
    (isRemoteNode(identity) || (isDsr && isWorldOf(packet.src, identity, obj)))
  ) {
    identity = info.identity;
  }
  if (isDsr && isDsrEnabled(config.lb) && config.lb.dsrDispatch === "geneve") {
    if (!config.hostRouting) {
      // The stack has to know the connection, as it sees the answers.
      ctx.packetType = PACKET_HOST;
      return TC_ACT_OK;
    }
  }
  const ret = deliver(ctx, obj, identity);
  return isError(ret) ? drop(ctx, obj, identity, ret, extErr) : ret;
}

function deliver(ctx: TcContext, obj: BpfObject, identity: NumericIdentity): number {
  const { ip } = ctx;
  const endpoint = lookupEndpoint(ctx, obj, ip.dst);
  if (endpoint !== undefined && (endpoint.flags & ENDPOINT_MASK_HOST_DELIVERY) === 0) {
    return localDelivery(ctx, obj, endpoint, {
      identity,
      direction: METRIC_INGRESS,
      magic: MARK_MAGIC_IDENTITY,
      fromHost: false,
      fromTunnel: true,
    });
  }
  // Nobody else is here: it is for the host.
  if (ip.version === 4) setIdentityMark(ctx, identity, MARK_MAGIC_IDENTITY);
  return hostDelivery(ctx, obj);
}

/** To the host's stack, by cilium_net (`ipv4_host_delivery`). */
export function hostDelivery(ctx: TcContext, obj: BpfObject): number {
  const ret = forwardL3(ctx, obj, obj.interfaceMac, obj.config.ciliumHostMac);
  return ret === TC_ACT_OK ? ctx.redirect(obj.config.ciliumNetIfindex) : ret;
}
