import { TC_ACT_OK, TC_ACT_REDIRECT, type TcContext } from "@cnilab/linux";
import { IPPROTO_ICMPV6, NDISC_NEIGHBOUR_SOLICITATION } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { icmpTypeOf } from "../lib/conntrack.ts";
import type { CtBuffer } from "../lib/ct-state.ts";
import { type ExtendedError, sendDropNotify } from "../lib/drop.ts";
import { DROP_FRAG_NOSUPPORT, DROP_UNROUTABLE, isError } from "../lib/drop-reason.ts";
import { encapAndRedirect } from "../lib/encap.ts";
import { lookupEndpoint, lookupRemoteEndpoint } from "../lib/eps.ts";
import { maybeAddL2Header } from "../lib/fib.ts";
import {
  hostEgressLookup,
  hostIngressLookup,
  hostPolicyEgress,
  hostPolicyIngress,
} from "../lib/host-firewall.ts";
import { handleHostIcmp6, SKIP_HOST_FIREWALL } from "../lib/icmp6.ts";
import { isWorldOf } from "../lib/identity.ts";
import { localDelivery } from "../lib/local-delivery.ts";
import {
  MARK_MAGIC_IDENTITY,
  MARK_MAGIC_PROXY_EGRESS,
  MARK_MAGIC_PROXY_INGRESS,
} from "../lib/mark.ts";
import { fromEgressProxy, fromIngressProxy, skipHostFirewall, skipNodePort } from "../lib/meta.ts";
import { NodePortOutcome } from "../lib/service-hooks.ts";
import { TRACE_PAYLOAD_LEN, unknownTrace } from "../lib/trace.ts";
import { ENDPOINT_MASK_HOST_DELIVERY } from "../maps/endpoint-map.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";

/** What comes from the network, or from the host's stack by cilium_host (`tail_handle_ipv4`, `tail_handle_ipv6`). */
export function handleIp(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  ipcacheIdentity: NumericIdentity,
  fromHost: boolean,
): number {
  const extErr = { value: 0 };
  const first = beforePolicy(ctx, obj, identity, ipcacheIdentity, fromHost, extErr);
  let { ret } = first;
  if (first.done && !isError(ret)) return ret;
  if (first.told) return ret;
  if (!isError(ret)) {
    ret = afterServices(ctx, obj, identity, fromHost, first.firewall, extErr);
    // Only so does cilium_net take it for the host's.
    if (fromHost && ret === TC_ACT_OK) ctx.dstMac = obj.config.ciliumNetMac;
  }
  if (!isError(ret)) return ret;
  return sendDropNotify(ctx, obj, {
    src: identity,
    reason: ret,
    extErr,
    direction: METRIC_INGRESS,
  });
}

/** What `handle_ipv4` says. */
interface Before {
  readonly ret: number;
  /** The verdict is the program's. */
  readonly done: boolean;
  /** And the drop has been told of. */
  readonly told: boolean;
  /** The connection that the host's policy is to look at. */
  readonly firewall: CtBuffer | undefined;
}

function verdict(ret: number, done: boolean, firewall?: CtBuffer): Before {
  return { ret, done, told: false, firewall };
}

/** `handle_ipv4`, `handle_ipv6` */
function beforePolicy(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  ipcacheIdentity: NumericIdentity,
  fromHost: boolean,
  extErr: ExtendedError,
): Before {
  const { config } = obj;
  const { ip } = ctx;
  if (ip.isFragment && !config.fragmentsTracking) return verdict(DROP_FRAG_NOSUPPORT, true);
  if (ip.protocol === IPPROTO_ICMPV6 && ip.version === 6 && (config.hostFirewall || !fromHost)) {
    const ret = handleHostIcmp6(ctx, obj, !fromHost);
    if (ret === SKIP_HOST_FIREWALL) return verdict(TC_ACT_OK, false);
    // A solicitation is answered here, or is the stack's.
    const isSolicitation = icmpTypeOf(ip) === NDISC_NEIGHBOUR_SOLICITATION;
    if (isError(ret) || (isSolicitation && !fromHost)) return verdict(ret, true);
  }
  if (config.lb.nodePort && !fromHost && !skipNodePort(ctx)) {
    const outcome = new NodePortOutcome();
    const ret = obj.services.nodePortLb(ctx, obj, identity, outcome, extErr);
    if (outcome.final) return { ret, done: true, told: true, firewall: undefined };
    if (ret < 0 || ret === TC_ACT_REDIRECT || outcome.puntToStack) return verdict(ret, true);
  }
  if (!config.hostFirewall) return verdict(TC_ACT_OK, false);
  let firewall: CtBuffer | undefined;
  if (fromHost) firewall = hostEgressLookup(ctx, obj, identity, ipcacheIdentity);
  else if (!skipHostFirewall(ctx)) firewall = hostIngressLookup(ctx, obj);
  if (firewall !== undefined && firewall.ret < 0) return verdict(firewall.ret, true);
  return verdict(TC_ACT_OK, false, firewall);
}

/** `handle_ipv4_cont`, `handle_ipv6_cont` */
function afterServices(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  fromHost: boolean,
  firewall: CtBuffer | undefined,
  extErr: ExtendedError,
): number {
  const { config } = obj;
  const trace = unknownTrace(TRACE_PAYLOAD_LEN);
  const ingressProxy = fromHost && fromIngressProxy(ctx);
  const egressProxy = fromHost && fromEgressProxy(ctx);
  if (firewall !== undefined) {
    const isHost = identity === RESERVED_IDENTITY.host;
    const unknown = ctx.ip.version === 4 ? RESERVED_IDENTITY.unknown : obj.worldIpv6;
    const ret = fromHost
      ? hostPolicyEgress(ctx, obj, isHost, firewall, trace, extErr)
      : hostPolicyIngress(ctx, obj, firewall, unknown, trace, extErr).ret;
    if (isError(ret) || ret === TC_ACT_REDIRECT) return ret;
  }
  // The stack delivers, as the node's conntrack has to see both ways.
  if (!fromHost && !config.hostRouting) return TC_ACT_OK;
  const { ip } = ctx;
  const endpoint = lookupEndpoint(ctx, obj, ip.dst);
  if (endpoint !== undefined) {
    if ((endpoint.flags & ENDPOINT_MASK_HOST_DELIVERY) !== 0) return TC_ACT_OK;
    if (!fromHost) maybeAddL2Header(ctx);
    let magic: number = MARK_MAGIC_IDENTITY;
    if (ingressProxy) magic = MARK_MAGIC_PROXY_INGRESS;
    if (egressProxy) magic = MARK_MAGIC_PROXY_EGRESS;
    const direction = METRIC_INGRESS;
    const fromTunnel = false;
    return localDelivery(ctx, obj, endpoint, {
      identity,
      direction,
      magic,
      fromHost,
      fromTunnel,
    });
  }
  if (!fromHost) return TC_ACT_OK;
  const info = lookupRemoteEndpoint(ctx, obj, ip.dst);
  const { tunnelEndpoint, skipTunnel = false } = info ?? {};
  if (config.tunnelMode && !skipTunnel && info !== undefined && tunnelEndpoint !== undefined) {
    return encapAndRedirect(ctx, obj, tunnelEndpoint, identity, info.identity, trace);
  }
  // Nobody knows whose address it is: by way of cilium_host it would come here again.
  const isProxied = ingressProxy || egressProxy;
  if (info === undefined || (!isProxied && isWorldOf(ip.dst, info.identity, obj))) {
    return DROP_UNROUTABLE;
  }
  return TC_ACT_OK;
}
