import { PACKET_HOST, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import type { EndpointInfo } from "../maps/endpoint-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import { DROP_EP_NOT_READY } from "./drop-reason.ts";
import { forwardL3 } from "./l3.ts";
import { setIdentityMark } from "./mark.ts";
import {
  CB_CLUSTER_ID_INGRESS,
  CB_DELIVERY_REDIRECT,
  CB_FROM_HOST,
  CB_FROM_TUNNEL,
  CB_SRC_LABEL,
} from "./meta.ts";
import { REASON_FORWARDED, updateMetrics } from "./metrics.ts";

/** Goes on with an endpoint's policy for what comes in (`tail_call_policy`). */
export function tailCallPolicy(ctx: TcContext, { maps }: BpfObject, endpointId: number): number {
  return ctx.tailCall(maps.callPolicy, endpointId) ?? DROP_EP_NOT_READY;
}

/** Goes on with an endpoint's policy for what a balancing proxy sends for it (`tail_call_egress_policy`). */
export function tailCallEgressPolicy(
  ctx: TcContext,
  { maps }: BpfObject,
  endpointId: number,
): number {
  return ctx.tailCall(maps.egressCallPolicy, endpointId) ?? DROP_EP_NOT_READY;
}

/** Sends a packet to an endpoint's device, or with BPF host routing right behind it (`redirect_ep`). */
export function redirectEndpoint(
  ctx: TcContext,
  { config }: BpfObject,
  ifindex: number,
  needsBacklog: boolean,
  fromTunnel: boolean,
): number {
  if (needsBacklog || !config.hostRouting || ctx.ingressIfindex === 0) return ctx.redirect(ifindex);
  // Its MAC was the tunnel's: it would be another host's.
  if (fromTunnel) ctx.packetType = PACKET_HOST;
  return ctx.redirectPeer(ifindex);
}

/** What an endpoint's policy program is told (`local_delivery_fill_meta`). */
export interface LocalDelivery {
  readonly identity: NumericIdentity;
  /** `METRIC_INGRESS` or `METRIC_EGRESS` */
  readonly direction: number;
  /** A `MARK_MAGIC_*` for the mark that carries the identity. */
  readonly magic: number;
  readonly fromHost: boolean;
  readonly fromTunnel: boolean;
}

export function fillDeliveryMeta(
  ctx: TcContext,
  identity: NumericIdentity,
  redirect: boolean,
  fromHost: boolean,
  fromTunnel: boolean,
): void {
  const { cb } = ctx;
  cb[CB_SRC_LABEL] = identity;
  cb[CB_DELIVERY_REDIRECT] = Number(redirect);
  cb[CB_FROM_HOST] = Number(fromHost);
  cb[CB_FROM_TUNNEL] = Number(fromTunnel);
  cb[CB_CLUSTER_ID_INGRESS] = 0;
}

/** Delivers a packet to an endpoint of this node (`ipv4_local_delivery`, `ipv6_local_delivery`, `local_delivery`). */
export function localDelivery(
  ctx: TcContext,
  obj: BpfObject,
  endpoint: EndpointInfo,
  delivery: LocalDelivery,
): number {
  const ret = forwardL3(ctx, obj, endpoint.nodeMac, endpoint.mac);
  if (ret !== TC_ACT_OK) return ret;
  const { identity, direction, magic, fromHost, fromTunnel } = delivery;
  // LOCAL_DELIVERY_METRICS
  const { source } = obj;
  if (source === "lxc" || source === "host") updateMetrics(ctx, obj, direction, REASON_FORWARDED);
  // Redirects past the endpoint's device would go past its program, too: policy is looked at here.
  if (!obj.ingressPolicyAtContainer || obj.config.hostRouting) {
    fillDeliveryMeta(ctx, identity, true, fromHost, fromTunnel);
    return tailCallPolicy(ctx, obj, endpoint.lxcId);
  }
  setIdentityMark(ctx, identity, magic);
  if (fromTunnel && !obj.config.lb.nodePort) {
    // kube-proxy has to see it, and put back what it has translated: the stack delivers.
    ctx.packetType = PACKET_HOST;
    return TC_ACT_OK;
  }
  return redirectEndpoint(ctx, obj, endpoint.ifindex, fromHost, fromTunnel);
}
