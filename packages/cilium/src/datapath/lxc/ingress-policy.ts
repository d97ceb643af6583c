import { PACKET_HOST, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import { authLookup } from "../lib/auth.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import {
  CT_ESTABLISHED,
  CT_INGRESS,
  CT_NEW,
  CT_RELATED,
  CT_REPLY,
  ctCreate,
  ctLookup,
  hasLoopbackEgressEntry,
  SCOPE_BIDIR,
  tupleOf,
} from "../lib/conntrack.ts";
import { CtBuffer, CtState } from "../lib/ct-state.ts";
import { type ExtendedError, sendDropNotify } from "../lib/drop.ts";
import { DROP_POLICY_AUTH_REQUIRED, DROP_UNKNOWN_L3, isError } from "../lib/drop-reason.ts";
import { lookupRemoteEndpoint } from "../lib/eps.ts";
import { redirectEndpoint } from "../lib/local-delivery.ts";
import {
  CB_CLUSTER_ID_INGRESS,
  CB_DELIVERY_REDIRECT,
  CB_FROM_HOST,
  CB_FROM_TUNNEL,
  CB_PROXY_MAGIC,
  CB_SRC_LABEL,
  fromEgressProxy,
  fromIngressProxy,
  loadAndClearMeta,
} from "../lib/meta.ts";
import { policyCanIngress } from "../lib/policy.ts";
import { sendPolicyVerdictNotify } from "../lib/policy-log.ts";
import { redirectToProxy } from "../lib/proxy.ts";
import { sendTraceNotify, TRACE_TO_LXC, TRACE_TO_PROXY } from "../lib/trace.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";

/** What {@link ingressPolicy} says where a proxy is to have it (`POLICY_ACT_PROXY_REDIRECT`). */
export const POLICY_ACT_PROXY_REDIRECT: number = 1 << 16;

/** The verdict on what comes to an endpoint, and the proxy's port; 0 where the stack knows it. */
export interface IngressVerdict {
  readonly ret: number;
  readonly proxyPort: number;
}

/**
 * The policy of an endpoint for what programs of others deliver (`cil_lxc_policy`, `tail_ipv4_policy`,
 * `tail_ipv6_policy`): it runs where the packet came from, and redirects to the endpoint's device.
 */
export function cilLxcPolicy(ctx: TcContext, obj: BpfObject): number {
  const { enableIpv4, enableIpv6 } = obj.config;
  const { protocol } = ctx;
  const isKnown = (protocol === ETH_P_IP && enableIpv4) || (protocol === ETH_P_IPV6 && enableIpv6);
  if (!isKnown) {
    const src = ctx.cb[CB_SRC_LABEL];
    return dropIngress(ctx, obj, src, DROP_UNKNOWN_L3, { value: 0 });
  }
  const ct = ctIngress(ctx, obj);
  if (ct.ret < 0) {
    return dropIngress(ctx, obj, ctx.cb[CB_SRC_LABEL], ct.ret, { value: 0 });
  }
  const doRedirect = ctx.cb[CB_DELIVERY_REDIRECT] !== 0;
  const src = loadAndClearMeta(ctx, CB_SRC_LABEL);
  const fromHost = loadAndClearMeta(ctx, CB_FROM_HOST) !== 0;
  ctx.cb[CB_CLUSTER_ID_INGRESS] = 0;
  const fromTunnel = obj.haveEncap && loadAndClearMeta(ctx, CB_FROM_TUNNEL) !== 0;
  const extErr = { value: 0 };
  let { ret, proxyPort } = ingressPolicy(ctx, obj, ct, src, fromTunnel, extErr);
  if (ret === POLICY_ACT_PROXY_REDIRECT) {
    if (fromTunnel) ctx.packetType = PACKET_HOST;
    ret = redirectToProxy(ctx, proxyPort);
    ctx.cb[CB_PROXY_MAGIC] = ctx.mark;
  } else if (ret === TC_ACT_OK) {
    if (!obj.routing && !obj.config.lb.nodePort && fromTunnel) {
      // kube-proxy has to see it: the stack delivers, to whom the tunnel's MACs mean nothing.
      ctx.packetType = PACKET_HOST;
    } else if (doRedirect) {
      ret = redirectEndpoint(ctx, obj, obj.interfaceIfindex, fromHost, fromTunnel);
    }
  }
  return isError(ret) ? dropIngress(ctx, obj, src, ret, extErr) : ret;
}

export function dropIngress(
  ctx: TcContext,
  obj: BpfObject,
  src: NumericIdentity,
  reason: number,
  extErr: ExtendedError,
): number {
  return sendDropNotify(ctx, obj, {
    src,
    dst: obj.securityLabel,
    dstId: obj.eventSource,
    reason,
    extErr,
    direction: METRIC_INGRESS,
  });
}

/** The connection of what comes to an endpoint (`tail_ipv4_ct_ingress`, `tail_ipv6_ct_ingress`). */
export function ctIngress(ctx: TcContext, obj: BpfObject): CtBuffer {
  const { ip } = ctx;
  const ct = new CtBuffer(tupleOf(ip));
  const map = obj.maps.ct(ip.dst, ip.protocol);
  const { tuple, state, trace } = ct;
  ct.ret = ctLookup(ctx, obj, map, tuple, ip, CT_INGRESS, SCOPE_BIDIR, state, trace);
  return ct;
}

/** Whether an endpoint takes it (`ipv4_policy`, `ipv6_policy`). */
export function ingressPolicy(
  ctx: TcContext,
  obj: BpfObject,
  ct: CtBuffer,
  src: NumericIdentity,
  fromTunnel: boolean,
  extErr: ExtendedError,
): IngressVerdict {
  const { tuple, state, ret, trace } = ct;
  const origIp = ctx.ip.src;
  const created = new CtState();
  let proxyPort = 0;
  trace.reason = ret;
  const tell = (point: number, dstId: number): void => {
    const dst = obj.securityLabel;
    const { reason, monitor } = trace;
    const ifindex = obj.interfaceIfindex;
    sendTraceNotify(ctx, obj, point, { src, dst, dstId, ifindex, reason, monitor, origIp });
  };
  if (ret === CT_REPLY || ret === CT_RELATED) {
    const fromL7Lb = obj.config.lb.l7 && state.fromL7lb;
    if (fromL7Lb || (state.proxyRedirect && !fromEgressProxy(ctx))) {
      tell(TRACE_TO_PROXY, 0);
      return { ret: POLICY_ACT_PROXY_REDIRECT, proxyPort: 0 };
    }
    if (state.revNatIndex !== 0) {
      const translated = obj.services.revNat(ctx, obj, tuple, state);
      if (isError(translated)) return { ret: translated, proxyPort: 0 };
    }
  } else if (!fromIngressProxy(ctx) && !isLoopback(ctx, obj, ct, created)) {
    // What comes from this endpoint's own proxy has been looked at, and would come there again.
    const check = policyCanIngress(ctx, obj, ctx.ip, tuple, src);
    extErr.value = check.value;
    if (check.verdict === DROP_POLICY_AUTH_REQUIRED) {
      const peer = lookupRemoteEndpoint(ctx, obj, origIp);
      if (peer !== undefined) {
        check.authType = check.value;
        const local = obj.securityLabel;
        check.verdict = authLookup(ctx, obj, local, src, peer.tunnelEndpoint, check.authType);
      }
    }
    proxyPort = check.proxyPort;
    if (check.verdict !== TC_ACT_OK || ret !== CT_ESTABLISHED) {
      sendPolicyVerdictNotify(ctx, obj, src, true, check);
    }
    if (check.verdict !== TC_ACT_OK) return { ret: check.verdict, proxyPort };
  }
  if (ret === CT_NEW) {
    created.srcSecId = src;
    created.fromTunnel = fromTunnel;
    created.proxyRedirect = proxyPort > 0;
    const { maps } = obj;
    const map = maps.ct(tuple.daddr, tuple.nexthdr);
    const related = maps.ct(tuple.daddr, 0);
    const made = ctCreate(ctx, obj, map, related, tuple, CT_INGRESS, created);
    if (isError(made)) return { ret: made, proxyPort };
  }
  if (proxyPort > 0) {
    tell(TRACE_TO_PROXY, proxyPort);
    return { ret: POLICY_ACT_PROXY_REDIRECT, proxyPort };
  }
  tell(TRACE_TO_LXC, obj.eventSource);
  return { ret: TC_ACT_OK, proxyPort };
}

/** Whether an endpoint talks to itself through a service: policy is not asked. */
function isLoopback(ctx: TcContext, obj: BpfObject, ct: CtBuffer, created: CtState): boolean {
  const { config, maps } = obj;
  if (!config.lb.perPacket || ctx.ip.version !== 4) return false;
  const { tuple, ret, state } = ct;
  if (ret === CT_NEW && ctx.ip.src === config.serviceLoopbackIpv4) {
    const map = maps.ct(tuple.daddr, tuple.nexthdr);
    if (hasLoopbackEgressEntry(ctx, map, tuple)) {
      created.loopback = true;
      return true;
    }
  }
  return state.loopback;
}
