import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { sendDropNotify } from "../lib/drop.ts";
import { DROP_HOST_NOT_READY, DROP_UNKNOWN_L3, isError } from "../lib/drop-reason.ts";
import { lookupRemoteEndpoint } from "../lib/eps.ts";
import { isNeighbourDiscovery } from "../lib/icmp6.ts";
import { isReserved } from "../lib/identity.ts";
import { tailCallEgressPolicy } from "../lib/local-delivery.ts";
import {
  getEndpointId,
  inheritIdentityFromHost,
  MARK_MAGIC_HOST_MASK,
  MARK_MAGIC_PROXY_EGRESS,
  MARK_MAGIC_PROXY_EGRESS_EPID,
  MARK_MAGIC_PROXY_INGRESS,
} from "../lib/mark.ts";
import { CB_DST_ENDPOINT_ID, CB_FROM_HOST, CB_PROXY_MAGIC, clearMeta } from "../lib/meta.ts";
import { REASON_FORWARDED, updateMetrics } from "../lib/metrics.ts";
import { redirectToProxyHairpin } from "../lib/proxy.ts";
import {
  sendTraceNotify,
  TRACE_FROM_PROXY,
  TRACE_FROM_STACK,
  TRACE_PAYLOAD_LEN,
} from "../lib/trace.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";
import {
  ctIngress,
  dropIngress,
  ingressPolicy,
  POLICY_ACT_PROXY_REDIRECT,
} from "./ingress-policy.ts";

/** What the node's stack sends to a container (`cil_to_container`), on the way out of the device; with endpoint routes. */
export function cilToContainer(ctx: TcContext, obj: BpfObject): number {
  clearMeta(ctx);
  const { config, maps, eventSource, securityLabel } = obj;
  if (config.lb.l7 && (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_PROXY_EGRESS_EPID) {
    const id = getEndpointId(ctx.mark);
    ctx.mark = 0;
    const ret = tailCallEgressPolicy(ctx, obj, id);
    return ret < 0 ? dropIngress(ctx, obj, id, ret, { value: 0 }) : ret;
  }
  const { magic, identity } = inheritIdentityFromHost(ctx, obj);
  const isFromProxy = magic === MARK_MAGIC_PROXY_INGRESS || magic === MARK_MAGIC_PROXY_EGRESS;
  sendTraceNotify(ctx, obj, isFromProxy ? TRACE_FROM_PROXY : TRACE_FROM_STACK, {
    src: identity,
    dst: securityLabel,
    dstId: eventSource,
    ifindex: ctx.ingressIfindex,
    monitor: TRACE_PAYLOAD_LEN,
  });
  // The host's policy for what leaves it comes before the endpoint's.
  if (config.hostFirewall && !obj.routing && identity === RESERVED_IDENTITY.host) {
    ctx.cb[CB_FROM_HOST] = 1;
    ctx.cb[CB_DST_ENDPOINT_ID] = eventSource;
    const ret = ctx.tailCall(maps.callPolicy, config.hostEndpointId);
    if (ret !== undefined) return ret;
    return dropIngress(ctx, obj, identity, DROP_HOST_NOT_READY, { value: 0 });
  }
  const { protocol } = ctx;
  if (protocol === ETH_P_ARP) return TC_ACT_OK;
  const isKnown =
    (protocol === ETH_P_IP && config.enableIpv4) || (protocol === ETH_P_IPV6 && config.enableIpv6);
  if (isKnown) return toEndpoint(ctx, obj, identity);
  return dropIngress(ctx, obj, identity, DROP_UNKNOWN_L3, { value: 0 });
}

/** `tail_ipv4_to_endpoint`, `tail_ipv6_to_endpoint` */
function toEndpoint(ctx: TcContext, obj: BpfObject, identity: number): number {
  const ct = ctIngress(ctx, obj);
  if (ct.ret < 0) return dropIngress(ctx, obj, identity, ct.ret, { value: 0 });
  const { ip } = ctx;
  if (ip.version === 6 && isNeighbourDiscovery(ip)) return TC_ACT_OK;
  let src = identity;
  // What proxies send has its identity; of others the address says more.
  if (isReserved(src, obj)) {
    const info = lookupRemoteEndpoint(ctx, obj, ip.src);
    // Masqueraded packets have the host's address without being its own.
    if (info !== undefined && info.identity !== RESERVED_IDENTITY.host) src = info.identity;
  }
  updateMetrics(ctx, obj, METRIC_INGRESS, REASON_FORWARDED);
  const extErr = { value: 0 };
  let { ret, proxyPort } = ingressPolicy(ctx, obj, ct, src, false, extErr);
  if (ret === POLICY_ACT_PROXY_REDIRECT) {
    ret = redirectToProxyHairpin(ctx, obj, proxyPort);
    ctx.mark = ctx.cb[CB_PROXY_MAGIC];
  }
  if (!isError(ret)) return ret;
  return sendDropNotify(ctx, obj, {
    src,
    dst: obj.securityLabel,
    dstId: obj.eventSource,
    reason: ret,
    extErr,
    direction: METRIC_INGRESS,
  });
}
