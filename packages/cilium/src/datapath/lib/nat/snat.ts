import type { TcContext } from "@cnilab/linux";
import {
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_TIME_EXCEEDED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PKT_TOOBIG,
  ICMPV6_REJECT_ROUTE,
  ICMPV6_TIME_EXCEED,
  type IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
} from "@cnilab/net";
import { CtTuple, TUPLE_F_IN } from "../../maps/conntrack-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { icmpCodeOf, icmpTypeOf } from "../conntrack.ts";
import {
  DROP_FRAG_NOSUPPORT,
  DROP_INVALID,
  DROP_NAT_UNSUPP_PROTO,
  DROP_UNKNOWN_ICMP4_CODE,
  DROP_UNKNOWN_ICMP6_CODE,
} from "../drop-reason.ts";
import { loadL4Ports } from "../ipfrag.ts";
import { isServiceProtocol } from "../lb/extract-tuple.ts";
import { rewriteDestination, rewriteSource } from "../lb/translate.ts";
import type { TraceCtx } from "../trace.ts";
import { natIcmpError, reverseNatIcmpError } from "./icmp-error.ts";
import { NAT_PUNT_TO_STACK, type NatTarget } from "./nat-target.ts";
import { natMapping, reverseNatMapping } from "./snat-mapping.ts";

/** `NAT_MIN_EGRESS`: the machine's own ports below are never taken for others. */
const NAT_MIN_EGRESS = 32_768;
/** `NR_ICMP_UNREACH`: the greatest code of RFC 1122. */
const NR_ICMP_UNREACH = 15;
const MOST_ICMP_ID = 0xffff;

/**
 * Translates the source of a packet (`snat_v4_nat`, `snat_v6_nat`). The tuple has its addresses; ports are read here.
 * @returns 0, `NAT_PUNT_TO_STACK` or a reason to drop
 */
export function snatNat(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  target: NatTarget,
  trace: TraceCtx,
): number {
  const { ip } = ctx;
  if (isServiceProtocol(obj, tuple.nexthdr)) {
    if (ip.isFragment && !obj.config.fragmentsTracking) return DROP_FRAG_NOSUPPORT;
    const ports = loadL4Ports(ctx, obj, ip, false);
    if (typeof ports === "number") return ports;
    tuple.sport = ports.sport;
    tuple.dport = ports.dport;
    // `snat_v4_nat_can_skip`
    const isOwn = !target.egressGateway && !target.fromLocalEndpoint;
    if (isOwn && tuple.sport < NAT_MIN_EGRESS) return NAT_PUNT_TO_STACK;
    return translateMapped(ctx, obj, tuple, target, trace);
  }
  if (tuple.nexthdr !== (ip.version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
    return NAT_PUNT_TO_STACK;
  }
  // An error is none; of an echo the first one would not help those behind it.
  if (ip.isFragment) return DROP_INVALID;
  const type = icmpTypeOf(ip);
  if (type === undefined) return DROP_INVALID;
  if (type === (ip.version === 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST)) {
    tuple.dport = 0;
    tuple.sport = (ip.payload as IcmpMessage).echoId;
    // Any identifier will do.
    target.minPort = 0;
    target.maxPort = MOST_ICMP_ID;
    return translateMapped(ctx, obj, tuple, target, trace);
  }
  return ip.version === 4 ? natIcmp4(ctx, obj, type) : natIcmp6(ctx, obj, type);
}

function natIcmp4(ctx: TcContext, obj: BpfObject, type: number): number {
  const code = icmpCodeOf(ctx.ip);
  switch (type) {
    case ICMP_ECHOREPLY:
      return NAT_PUNT_TO_STACK;
    case ICMP_DEST_UNREACH:
      return code > NR_ICMP_UNREACH ? DROP_UNKNOWN_ICMP4_CODE : natIcmpError(ctx, obj);
    case ICMP_TIME_EXCEEDED:
      return code > 1 ? DROP_UNKNOWN_ICMP4_CODE : natIcmpError(ctx, obj);
    default:
      return DROP_NAT_UNSUPP_PROTO;
  }
}

function natIcmp6(ctx: TcContext, obj: BpfObject, type: number): number {
  const code = icmpCodeOf(ctx.ip);
  switch (type) {
    case ICMPV6_ECHO_REPLY:
    case NDISC_NEIGHBOUR_SOLICITATION:
    case NDISC_NEIGHBOUR_ADVERTISEMENT:
      return NAT_PUNT_TO_STACK;
    case ICMPV6_DEST_UNREACH:
      return code > ICMPV6_REJECT_ROUTE ? DROP_UNKNOWN_ICMP6_CODE : natIcmpError(ctx, obj);
    case ICMPV6_PKT_TOOBIG:
      return natIcmpError(ctx, obj);
    case ICMPV6_TIME_EXCEED:
      return code > 1 ? DROP_UNKNOWN_ICMP6_CODE : natIcmpError(ctx, obj);
    default:
      return DROP_NAT_UNSUPP_PROTO;
  }
}

/** `__snat_v4_nat`, `__snat_v6_nat`: the tuple has its ports, as in the header. @returns 0, or a reason to drop */
export function translateMapped(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  target: NatTarget,
  trace: TraceCtx,
): number {
  const mapping = natMapping(ctx, obj, tuple, target, trace);
  if (typeof mapping === "number") return mapping;
  const ret = rewriteSource(ctx, mapping.toAddress, mapping.toPort);
  tuple.saddr = mapping.toAddress;
  tuple.sport = mapping.toPort;
  return ret;
}

/**
 * Gives an answer its destination back (`snat_v4_rev_nat`, `snat_v6_rev_nat`).
 * @returns 0, `NAT_PUNT_TO_STACK`, DROP_NAT_NO_MAPPING where it answers nothing, or a reason to drop
 */
export function snatReverseNat(
  ctx: TcContext,
  obj: BpfObject,
  target: NatTarget,
  trace: TraceCtx,
): number {
  const { ip } = ctx;
  const tuple = new CtTuple(ip.dst, ip.src, 0, 0, ip.protocol, TUPLE_F_IN);
  if (isServiceProtocol(obj, tuple.nexthdr)) {
    const ports = loadL4Ports(ctx, obj, ip, true);
    if (typeof ports === "number") return ports;
    tuple.sport = ports.sport;
    tuple.dport = ports.dport;
    // `snat_v4_rev_nat_can_skip`
    if (tuple.dport < target.minPort || tuple.dport > target.maxPort) return NAT_PUNT_TO_STACK;
  } else {
    if (tuple.nexthdr !== (ip.version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
      return NAT_PUNT_TO_STACK;
    }
    if (ip.isFragment) return DROP_INVALID;
    const type = icmpTypeOf(ip);
    if (type === undefined) return DROP_INVALID;
    if (type !== (ip.version === 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY)) {
      return isTranslatedError(ip.version, type, icmpCodeOf(ip))
        ? reverseNatIcmpError(ctx, obj)
        : NAT_PUNT_TO_STACK;
    }
    tuple.dport = (ip.payload as IcmpMessage).echoId;
  }
  const mapping = reverseNatMapping(ctx, obj, tuple, trace);
  if (typeof mapping === "number") return mapping;
  return rewriteDestination(ctx, mapping.toAddress, mapping.toPort);
}

/** IPv6 has no more than "too big" brought back. */
function isTranslatedError(version: 4 | 6, type: number, code: number): boolean {
  if (version === 6) return type === ICMPV6_PKT_TOOBIG;
  if (type === ICMP_DEST_UNREACH) return code <= NR_ICMP_UNREACH;
  return type === ICMP_TIME_EXCEEDED && code <= 1;
}
