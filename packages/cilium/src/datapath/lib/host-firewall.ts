import { PACKET_HOST, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import { authLookup } from "./auth.ts";
import type { BpfObject } from "./bpf-object.ts";
import {
  CT_EGRESS,
  CT_ESTABLISHED,
  CT_INGRESS,
  CT_NEW,
  CT_RELATED,
  CT_REPLY,
  type CtDir,
  ctCreate,
  ctLookup,
  SCOPE_BIDIR,
  tupleOf,
} from "./conntrack.ts";
import { CtBuffer, CtState } from "./ct-state.ts";
import type { ExtendedError } from "./drop.ts";
import { DROP_POLICY_AUTH_REQUIRED, isError } from "./drop-reason.ts";
import { lookupRemoteEndpoint } from "./eps.ts";
import { worldOf } from "./identity.ts";
import { type PolicyCheck, policyCanEgress, policyCanIngress } from "./policy.ts";
import { sendPolicyVerdictNotify } from "./policy-log.ts";
import { redirectToProxyHostEgress } from "./proxy.ts";
import { sendTraceNotify, TRACE_TO_PROXY, type TraceCtx } from "./trace.ts";

// Policy of the node itself (bpf/lib/host_firewall.h).

/**
 * The connection of a packet of the host's, or of a pod that has the host's address
 * (`ipv4_host_policy_egress_lookup`); `undefined` for others.
 */
export function hostEgressLookup(
  ctx: TcContext,
  obj: BpfObject,
  srcIdentity: NumericIdentity,
  ipcacheIdentity: NumericIdentity,
): CtBuffer | undefined {
  const isHosts =
    srcIdentity === RESERVED_IDENTITY.host || ipcacheIdentity === RESERVED_IDENTITY.host;
  return isHosts ? lookup(ctx, obj, CT_EGRESS) : undefined;
}

/** The connection of a packet for one of the host's addresses (`ipv4_host_policy_ingress_lookup`). */
export function hostIngressLookup(ctx: TcContext, obj: BpfObject): CtBuffer | undefined {
  const { dst } = ctx.ip;
  const identity = lookupRemoteEndpoint(ctx, obj, dst)?.identity ?? worldOf(dst, obj);
  return identity === RESERVED_IDENTITY.host ? lookup(ctx, obj, CT_INGRESS) : undefined;
}

function lookup(ctx: TcContext, obj: BpfObject, dir: CtDir): CtBuffer {
  const { ip } = ctx;
  const ct = new CtBuffer(tupleOf(ip));
  const map = obj.maps.ct(ip.dst, ip.protocol);
  ct.ret = ctLookup(ctx, obj, map, ct.tuple, ip, dir, SCOPE_BIDIR, undefined, ct.trace);
  return ct;
}

function create(
  ctx: TcContext,
  obj: BpfObject,
  { tuple }: CtBuffer,
  dir: CtDir,
  state: CtState | undefined,
): number {
  const { maps } = obj;
  const map = maps.ct(tuple.daddr, tuple.nexthdr);
  return ctCreate(ctx, obj, map, maps.ct(tuple.daddr, 0), tuple, dir, state);
}

/** What the host sends (`__ipv4_host_policy_egress`). @returns a verdict, or a reason to drop */
export function hostPolicyEgress(
  ctx: TcContext,
  obj: BpfObject,
  isHost: boolean,
  ct: CtBuffer,
  trace: TraceCtx,
  extErr: ExtendedError,
): number {
  trace.monitor = ct.trace.monitor;
  trace.reason = ct.ret;
  if (!isHost) {
    // A pod's, masqueraded: answers to it are none of the host's policy.
    return ct.ret === CT_NEW ? create(ctx, obj, ct, CT_EGRESS, undefined) : TC_ACT_OK;
  }
  const { ip } = ctx;
  const info = lookupRemoteEndpoint(ctx, obj, ip.dst);
  const dst = info?.identity ?? RESERVED_IDENTITY.unknown;
  if (ct.ret === CT_REPLY || ct.ret === CT_RELATED) return TC_ACT_OK;
  const { host } = RESERVED_IDENTITY;
  const check = policyCanEgress(ctx, obj, ip, ct.tuple, host, dst);
  authenticate(ctx, obj, check, dst, info?.tunnelEndpoint, extErr);
  const tracked = track(ctx, obj, ct, CT_EGRESS, host, check);
  if (isError(tracked)) return tracked;
  if (check.verdict !== TC_ACT_OK || ct.ret !== CT_ESTABLISHED) {
    sendPolicyVerdictNotify(ctx, obj, dst, false, check);
  }
  if (check.proxyPort > 0 && check.verdict === TC_ACT_OK) {
    const { reason, monitor } = trace;
    const dstId = check.proxyPort;
    sendTraceNotify(ctx, obj, TRACE_TO_PROXY, { src: host, dst: 0, dstId, reason, monitor });
    return redirectToProxyHostEgress(ctx, obj, check.proxyPort);
  }
  return check.verdict;
}

/** What comes to the host (`__ipv4_host_policy_ingress`). @returns a verdict, or a reason to drop, and who sends it */
export function hostPolicyIngress(
  ctx: TcContext,
  obj: BpfObject,
  ct: CtBuffer,
  unknown: NumericIdentity,
  trace: TraceCtx,
  extErr: ExtendedError,
): { readonly ret: number; readonly src: NumericIdentity } {
  trace.monitor = ct.trace.monitor;
  trace.reason = ct.ret;
  const { ip } = ctx;
  const info = lookupRemoteEndpoint(ctx, obj, ip.src);
  const src = info?.identity ?? unknown;
  let ret: number = TC_ACT_OK;
  if (ct.ret !== CT_REPLY && ct.ret !== CT_RELATED) {
    const check = policyCanIngress(ctx, obj, ip, ct.tuple, src);
    authenticate(ctx, obj, check, src, info?.tunnelEndpoint, extErr);
    const tracked = track(ctx, obj, ct, CT_INGRESS, src, check);
    if (isError(tracked)) return { ret: tracked, src };
    if (check.verdict !== TC_ACT_OK || ct.ret !== CT_ESTABLISHED) {
      sendPolicyVerdictNotify(ctx, obj, src, true, check);
    }
    ret = check.verdict;
  }
  // A pod's packet was redirected here with the MAC of its own way.
  ctx.packetType = PACKET_HOST;
  return { ret, src };
}

function authenticate(
  ctx: TcContext,
  obj: BpfObject,
  check: PolicyCheck,
  remote: NumericIdentity,
  node: Parameters<typeof authLookup>[4],
  extErr: ExtendedError,
): void {
  extErr.value = check.value;
  if (check.verdict !== DROP_POLICY_AUTH_REQUIRED) return;
  check.authType = check.value;
  check.verdict = authLookup(ctx, obj, RESERVED_IDENTITY.host, remote, node, check.authType);
}

function track(
  ctx: TcContext,
  obj: BpfObject,
  ct: CtBuffer,
  dir: CtDir,
  src: NumericIdentity,
  check: PolicyCheck,
): number {
  if (ct.ret !== CT_NEW || check.verdict !== TC_ACT_OK) return TC_ACT_OK;
  const state = new CtState();
  state.srcSecId = src;
  state.proxyRedirect = check.proxyPort > 0;
  return create(ctx, obj, ct, dir, state);
}
