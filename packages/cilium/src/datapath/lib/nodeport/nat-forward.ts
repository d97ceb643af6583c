import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../../identity/numeric-identity.ts";
import { type CtTuple, TUPLE_F_OUT } from "../../maps/conntrack-map.ts";
import { METRIC_EGRESS } from "../../maps/metrics-map.ts";
import type { BpfObject, BpfSource } from "../bpf-object.ts";
import {
  CT_ENTRY_DSR,
  CT_ENTRY_NODEPORT,
  CT_INGRESS,
  CT_REPLY,
  ctLazyLookup,
  nodePortEgressEntry,
  SCOPE_REVERSE,
  tupleOf,
} from "../conntrack.ts";
import { type ExtendedError, sendDropNotify } from "../drop.ts";
import { DROP_UNKNOWN_L4, DROP_UNSUPP_SERVICE_PROTO, isError } from "../drop-reason.ts";
import { isServiceProtocol, lbExtractTuple } from "../lb/extract-tuple.ts";
import { applyReverseNat, lbLookupReverseNat } from "../lb/reverse-nat.ts";
import { setSnatDone } from "../mark.ts";
import { needsMasquerade } from "../nat/masquerade.ts";
import { NAT_PUNT_TO_STACK, type NatTarget, natTarget } from "../nat/nat-target.ts";
import { snatNat } from "../nat/snat.ts";
import {
  sendTraceNotify,
  TRACE_TO_CRYPTO,
  TRACE_TO_NETWORK,
  TRACE_TO_OVERLAY,
  type TraceCtx,
  unknownTrace,
} from "../trace.ts";
import { fibRedirectElsewhere } from "./redirect.ts";
import { isDsrEnabled, isSnatEnabled } from "./uses-dsr.ts";

/** `NODEPORT_OBS_POINT_EGRESS` */
const OBS_POINTS: Readonly<Record<BpfSource, number>> = {
  host: TRACE_TO_NETWORK,
  overlay: TRACE_TO_OVERLAY,
  wireguard: TRACE_TO_CRYPTO,
  lxc: TRACE_TO_NETWORK,
};

/**
 * Addresses of what leaves the node (`handle_nat_fwd`): answers of this node's backends get the service's; then what needs it
 * the node's own (`nodeport_snat_fwd_ipv4`).
 * @param revDnatOnly of answers alone, before they are encrypted: the program goes on
 * @returns the program's verdict, drops and what goes on told of
 */
export function natForward(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  revDnatOnly: boolean,
  trace: TraceCtx,
  extErr: ExtendedError,
): number {
  const answered = reverseDnatForward(ctx, obj, revDnatOnly, trace, extErr);
  if (isError(answered.ret)) return drop(ctx, obj, identity, answered.ret, extErr);
  if (answered.ret !== TC_ACT_OK || revDnatOnly) return answered.ret;
  if (answered.done) {
    if (obj.source === "host") setSnatDone(ctx);
    tell(ctx, obj, identity, trace);
    return TC_ACT_OK;
  }
  const { config } = obj;
  const masquerades = ctx.ip.version === 4 ? config.bpfMasqueradeIpv4 : config.bpfMasqueradeIpv6;
  if (isSnatEnabled(config.lb) || masquerades) {
    return snatForward(ctx, obj, identity, extErr);
  }
  tell(ctx, obj, identity, trace);
  return TC_ACT_OK;
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

function tell(
  ctx: TcContext,
  obj: BpfObject,
  src: NumericIdentity,
  { reason, monitor }: TraceCtx,
  origIp?: IpAddress,
): void {
  sendTraceNotify(ctx, obj, OBS_POINTS[obj.source], {
    src,
    dst: RESERVED_IDENTITY.unknown,
    ifindex: obj.interfaceIfindex,
    reason,
    monitor,
    ...(origIp !== undefined && { origIp }),
  });
}

/** `nodeport_rev_dnat_fwd_ipv4`, `nodeport_rev_dnat_fwd_ipv6` */
function reverseDnatForward(
  ctx: TcContext,
  obj: BpfObject,
  revDnatOnly: boolean,
  trace: TraceCtx,
  extErr: ExtendedError,
): { readonly ret: number; readonly done: boolean } {
  const { ip } = ctx;
  const tuple = tupleOf(ip);
  const extracted = lbExtractTuple(ctx, obj, tuple);
  if (extracted < 0) {
    const none = extracted === DROP_UNSUPP_SERVICE_PROTO || extracted === DROP_UNKNOWN_L4;
    return { ret: none ? TC_ACT_OK : extracted, done: false };
  }
  const nat = serviceOf(ctx, obj, tuple);
  if (nat === undefined) return { ret: TC_ACT_OK, done: false };
  if (obj.source === "host" && !revDnatOnly) {
    // The stack has found the way for the backend's address: for the service's it may be another.
    const elsewhere = fibRedirectElsewhere(ctx, obj, nat.address, tuple.daddr, extErr);
    if (elsewhere !== undefined) return { ret: elsewhere, done: false };
  }
  const ct = unknownTrace();
  const found = ctLazyLookup(
    ctx,
    obj,
    obj.maps.ct(tuple.daddr, tuple.nexthdr),
    tuple,
    ip,
    CT_INGRESS,
    SCOPE_REVERSE,
    CT_ENTRY_NODEPORT | CT_ENTRY_DSR,
    undefined,
    ct,
  );
  if (found !== CT_REPLY) return { ret: TC_ACT_OK, done: false };
  trace.reason = CT_REPLY;
  trace.monitor = ct.monitor;
  const ret = applyReverseNat(ctx, obj, tuple, nat, false);
  return { ret, done: ret === 0 };
}

/** Which service an answer is of (`nodeport_rev_dnat_get_info_ipv4`): one of this node's, or one that another node has named. */
function serviceOf(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
): { readonly address: IpAddress; readonly port: number } | undefined {
  const map = obj.maps.ct(tuple.daddr, tuple.nexthdr);
  const dsr = isDsrEnabled(obj.config.lb);
  const revNatIndex = nodePortEgressEntry(ctx, map, tuple, dsr);
  if (revNatIndex === undefined) return undefined;
  if (revNatIndex !== 0) return lbLookupReverseNat(ctx, obj, revNatIndex);
  if (!dsr) return undefined;
  const key = tuple.clone();
  key.flags = TUPLE_F_OUT;
  key.swapPorts();
  const known = ctx.lookup(obj.maps.snat(ctx.ip.version), key);
  return known && { address: known.toAddress, port: known.toPort };
}

/** `tail_handle_snat_fwd_ipv4`, `tail_handle_snat_fwd_ipv6` */
function snatForward(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  extErr: ExtendedError,
): number {
  const { ip } = ctx;
  const origIp = ip.src;
  const trace = unknownTrace();
  const tuple = tupleOf(ip);
  const target = natTarget(obj.config, ip.src);
  const isOwn = isServiceProtocol(obj, tuple.nexthdr) && conflicts(obj, ip.src, target);
  let ret = isOwn ? 0 : needsMasquerade(ctx, obj, tuple, target);
  if (ret >= 0) ret = snatNat(ctx, obj, tuple, target, trace);
  if (ret === 0 && obj.source === "host") setSnatDone(ctx);
  if (ret < 0 && ret !== NAT_PUNT_TO_STACK) return drop(ctx, obj, identity, ret, extErr);
  tell(ctx, obj, identity, trace, origIp);
  return TC_ACT_OK;
}

/**
 * The node's own connection from an address that clients of services are given: it may not have one of their ports
 * (`nodeport_has_nat_conflict_ipv4`, `nodeport_has_nat_conflict_ipv6`).
 */
function conflicts(
  { config, source, interfaceIfindex }: BpfObject,
  src: IpAddress,
  target: NatTarget,
): boolean {
  const isIpv4 = typeof src === "number";
  let own: IpAddress | undefined;
  if (source === "overlay" && config.tunnelMode) {
    own = isIpv4 ? config.routerIpv4 : config.routerIpv6;
  } else if (source === "host" && config.directRoutingIfindex === interfaceIfindex) {
    own = isIpv4 ? config.directRoutingIpv4 : config.directRoutingIpv6;
  }
  if (own === undefined || own !== src) return false;
  target.address = own;
  target.needsCt = true;
  return true;
}
