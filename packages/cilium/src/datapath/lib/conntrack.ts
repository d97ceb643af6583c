import type { TcContext } from "@cnilab/linux";
import {
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_PARAMETERPROB,
  ICMP_TIME_EXCEEDED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PARAMPROB,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpPacket,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  TcpSegment,
} from "@cnilab/net";
import {
  type CtEntry,
  type CtMap,
  CtTuple,
  TUPLE_F_IN,
  TUPLE_F_OUT,
  TUPLE_F_RELATED,
  TUPLE_F_SERVICE,
} from "../maps/conntrack-map.ts";
import { METRIC_EGRESS, METRIC_INGRESS, METRIC_SERVICE } from "../maps/metrics-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import type { CtState } from "./ct-state.ts";
import {
  DROP_CT_CREATE_FAILED,
  DROP_CT_INVALID_HDR,
  DROP_CT_UNKNOWN_PROTO,
  DROP_INVALID,
} from "./drop-reason.ts";
import { hasL4Header, l4Of, loadL4Ports } from "./ipfrag.ts";
import { REASON_FRAG_PACKET, updateMetrics } from "./metrics.ts";
import { isDsrEnabled } from "./nodeport/uses-dsr.ts";
import { TRACE_PAYLOAD_LEN, type TraceCtx } from "./trace.ts";

// Connection tracking of programs (bpf/lib/conntrack.h). Nothing here looks at whether an entry is past its time: it is
// there until the agent takes it out.

/** What a look-up says (`enum ct_status`); trace reasons have the same numbers. */
export const CT_NEW = 0;
export const CT_ESTABLISHED = 1;
export const CT_REPLY = 2;
export const CT_RELATED = 3;

/** Which way a packet goes, seen from the endpoint (`enum ct_dir`). */
export const CT_EGRESS = 0;
export const CT_INGRESS = 1;
export const CT_SERVICE = 2;
export type CtDir = typeof CT_EGRESS | typeof CT_INGRESS | typeof CT_SERVICE;

/** Which ways of a connection are looked for (`enum ct_scope`). */
export const SCOPE_FORWARD = 0;
export const SCOPE_REVERSE = 1;
export const SCOPE_BIDIR = 2;
export type CtScope = typeof SCOPE_FORWARD | typeof SCOPE_REVERSE | typeof SCOPE_BIDIR;

// Which entries count (`enum ct_entry_type`).
export const CT_ENTRY_ANY = 0;
export const CT_ENTRY_NODEPORT = 1;
export const CT_ENTRY_DSR = 2;
export const CT_ENTRY_SVC = 4;

const ACTION_UNSPEC = 0;
const ACTION_CREATE = 1;
const ACTION_CLOSE = 2;

/** Whole seconds that clocks of programs count in (`bpf_mono_now`). */
export function monoNow(ctx: TcContext): number {
  return Math.floor(ctx.now / 1000);
}

/** A tuple with addresses and protocol of a packet; ports come with a look-up. */
export function tupleOf(ip: IpPacket): CtTuple {
  return new CtTuple(ip.dst, ip.src, 0, 0, ip.protocol, TUPLE_F_OUT);
}

/**
 * Ports of a packet, or what stands for them in ICMP (`ct_extract_ports4`, `ct_extract_ports6`). As in the header they
 * stand the right way around for packets: `sport` is in {@link CtTuple.dport}.
 * @returns 0, or a reason to drop
 */
export function ctExtractPorts(
  ctx: TcContext,
  obj: BpfObject,
  ip: IpPacket,
  dir: CtDir,
  tuple: CtTuple,
): number {
  switch (tuple.nexthdr) {
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      if ((tuple.nexthdr === IPPROTO_ICMP) !== (ip.version === 4)) return DROP_CT_UNKNOWN_PROTO;
      return extractIcmp(ip, tuple);
    case IPPROTO_SCTP:
      if (!obj.config.sctp) return DROP_CT_UNKNOWN_PROTO;
      break;
    case IPPROTO_TCP:
    case IPPROTO_UDP:
      break;
    default:
      return DROP_CT_UNKNOWN_PROTO;
  }
  const ports = loadL4Ports(ctx, obj, ip, dir === CT_INGRESS);
  if (typeof ports === "number") return ports;
  // The header's two ports are read into `dport` and `sport`, in this order: each is in the other's place.
  tuple.dport = ports.sport;
  tuple.sport = ports.dport;
  return 0;
}

function extractIcmp(ip: IpPacket, tuple: CtTuple): number {
  // Later fragments of an echo say nothing of whom they are for.
  if (ip.isFragment) return DROP_INVALID;
  const { payload } = ip;
  const type = icmpTypeOf(ip);
  if (type === undefined) return DROP_CT_INVALID_HDR;
  tuple.sport = 0;
  tuple.dport = 0;
  const isIpv4 = ip.version === 4;
  const isError = isIpv4
    ? type === ICMP_DEST_UNREACH || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETERPROB
    : type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
  if (isError) {
    tuple.flags |= TUPLE_F_RELATED;
  } else if (payload instanceof IcmpMessage) {
    if (type === (isIpv4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY)) tuple.sport = payload.echoId;
    else if (type === (isIpv4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST)) tuple.dport = payload.echoId;
  }
  return 0;
}

/** The type of an ICMP message of any kind. */
export function icmpTypeOf(ip: IpPacket): number | undefined {
  const { type } = l4Of(ip) as { readonly type?: unknown };
  return typeof type === "number" ? type : undefined;
}

/** The code of an ICMP message. */
export function icmpCodeOf(ip: IpPacket): number {
  const { code } = l4Of(ip) as { readonly code?: unknown };
  return typeof code === "number" ? code : 0;
}

/** `ct_lookup_select_tuple_type` */
export function selectTupleType(dir: CtDir, scope: CtScope): number {
  if (dir === CT_SERVICE) return TUPLE_F_SERVICE;
  if (scope === SCOPE_FORWARD) return dir === CT_EGRESS ? TUPLE_F_OUT : TUPLE_F_IN;
  // What answers, or is an error, comes before what goes on: it is looked for first.
  return dir === CT_EGRESS ? TUPLE_F_IN : TUPLE_F_OUT;
}

/**
 * Looks a packet's connection up (`ct_lookup4`, `ct_lookup6`). The tuple, of which addresses and protocol are set, is that
 * of the way on which it was found, or would be created.
 * @returns a `CT_*`, or a reason to drop
 */
export function ctLookup(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  tuple: CtTuple,
  ip: IpPacket,
  dir: CtDir,
  scope: CtScope,
  state: CtState | undefined,
  trace: TraceCtx,
): number {
  tuple.flags = selectTupleType(dir, scope);
  const ret = ctExtractPorts(ctx, obj, ip, dir, tuple);
  if (ret < 0) return ret;
  if (scope === SCOPE_FORWARD) {
    tuple.swapAddresses();
    tuple.swapPorts();
  }
  return lookup(ctx, obj, map, tuple, ip, dir, scope, CT_ENTRY_ANY, state, trace);
}

/** The same with a tuple that has its ports, in the order of {@link ctExtractPorts} (`ct_lazy_lookup4`). */
export function ctLazyLookup(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  tuple: CtTuple,
  ip: IpPacket,
  dir: CtDir,
  scope: CtScope,
  entryTypes: number,
  state: CtState | undefined,
  trace: TraceCtx,
): number {
  tuple.flags = selectTupleType(dir, scope);
  return lookup(ctx, obj, map, tuple, ip, dir, scope, entryTypes, state, trace);
}

/** `__ct_lookup4`, `__ct_lookup6` */
function lookup(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  tuple: CtTuple,
  ip: IpPacket,
  dir: CtDir,
  scope: CtScope,
  entryTypes: number,
  state: CtState | undefined,
  trace: TraceCtx,
): number {
  if (ip.isFragment) {
    const direction = [METRIC_EGRESS, METRIC_INGRESS, METRIC_SERVICE][dir] as number;
    updateMetrics(ctx, obj, direction, REASON_FRAG_PACKET);
  }
  let flags = 0;
  let action = ACTION_UNSPEC;
  if (tuple.nexthdr === IPPROTO_TCP && hasL4Header(ip)) {
    const l4 = l4Of(ip);
    if (!(l4 instanceof TcpSegment)) return DROP_CT_INVALID_HDR;
    flags = l4.flags;
    action = selectAction(flags);
  }
  if (scope !== SCOPE_FORWARD) {
    const ret = lookupOne(ctx, obj, map, tuple, action, dir, entryTypes, state, flags, trace);
    if (ret !== CT_NEW) {
      return (tuple.flags & TUPLE_F_RELATED) !== 0 ? CT_RELATED : CT_REPLY;
    }
    if (scope !== SCOPE_BIDIR) return ret;
    tuple.reverse();
  }
  return lookupOne(ctx, obj, map, tuple, action, dir, entryTypes, state, flags, trace);
}

/** `ct_tcp_select_action` */
function selectAction(flags: number): number {
  if ((flags & (TCP_RST | TCP_FIN)) !== 0) return ACTION_CLOSE;
  return (flags & (TCP_SYN | TCP_ACK)) === TCP_SYN ? ACTION_CREATE : ACTION_UNSPEC;
}

/** `__ct_lookup` */
function lookupOne(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  tuple: CtTuple,
  action: number,
  dir: CtDir,
  entryTypes: number,
  state: CtState | undefined,
  flags: number,
  trace: TraceCtx,
): number {
  const entry = ctx.lookup(map, tuple);
  const isTcp = tuple.nexthdr === IPPROTO_TCP;
  const syn = (flags & TCP_SYN) !== 0;
  if (
    entry === undefined ||
    !matchesTypes(obj, entry, entryTypes, state) ||
    (dir === CT_SERVICE && syn && isClosing(entry) && isExpiredRebalance(ctx, obj, entry))
  ) {
    trace.monitor = TRACE_PAYLOAD_LEN;
    return CT_NEW;
  }
  if (isAlive(entry)) trace.monitor = updateTimeout(ctx, obj, entry, isTcp, dir, flags);
  const { conntrackAccounting: accounting } = obj.config;
  const bytes = accounting ? ctx.length : 0;
  if (accounting) {
    entry.packets++;
    entry.bytes += bytes;
  }
  if (action === ACTION_CREATE && isClosing(entry)) {
    ctx.unrepeatable();
    entry.rxClosing = false;
    entry.txClosing = false;
    entry.rxFlagsSeen = 0;
    entry.txFlagsSeen = 0;
    entry.seenNonSyn = false;
    trace.monitor = updateTimeout(ctx, obj, entry, isTcp, dir, flags);
    // The caller makes another one in its place, unless policy denies that.
    return CT_NEW;
  }
  if (action === ACTION_CLOSE) {
    ctx.unrepeatable();
    close(entry, dir, flags);
    if (state !== undefined) state.closing = true;
    trace.monitor = TRACE_PAYLOAD_LEN;
    if (!isAlive(entry)) touch(ctx, obj, entry, obj.config.ct.close, dir, flags);
  } else if (ctx.network.recording !== undefined) {
    ctx.effect({
      repeat(packets, time) {
        if (isAlive(entry))
          touchAt(obj, entry, lifetimeOf(obj, entry, isTcp, dir), dir, flags, time);
        if (!accounting) return;
        entry.packets += packets;
        entry.bytes += packets * bytes;
      },
    });
  }
  if (state !== undefined) fillState(state, entry, dir, syn);
  return CT_ESTABLISHED;
}

function close(entry: CtEntry, dir: CtDir, flags: number): void {
  const seenBothSyns = (entry.rxFlagsSeen & entry.txFlagsSeen & TCP_SYN) !== 0;
  if (dir === CT_SERVICE || (!seenBothSyns && (flags & TCP_RST) !== 0)) {
    entry.rxClosing = true;
    entry.txClosing = true;
  } else if (dir === CT_INGRESS) {
    entry.rxClosing = true;
  } else {
    entry.txClosing = true;
  }
}

/** `ct_entry_alive` */
function isAlive(entry: CtEntry): boolean {
  return !entry.rxClosing || !entry.txClosing;
}

/** `ct_entry_closing` */
function isClosing(entry: CtEntry): boolean {
  return entry.rxClosing || entry.txClosing;
}

/** `ct_entry_expired_rebalance` */
function isExpiredRebalance(ctx: TcContext, { config }: BpfObject, entry: CtEntry): boolean {
  ctx.unrepeatable();
  return entry.lastTxReport + config.ct.serviceCloseRebalance <= monoNow(ctx);
}

/** `ct_entry_matches_types` */
function matchesTypes(
  { config }: BpfObject,
  entry: CtEntry,
  types: number,
  state: CtState | undefined,
): boolean {
  if (types === CT_ENTRY_ANY) return true;
  const wanted = state?.revNatIndex ?? 0;
  if ((types & CT_ENTRY_SVC) !== 0 && entry.revNatIndex === wanted) return true;
  if (!config.lb.nodePort) return false;
  if ((types & CT_ENTRY_NODEPORT) !== 0 && entry.nodePort && entry.revNatIndex !== 0) {
    if (wanted === 0 || entry.revNatIndex === wanted) return true;
  }
  return isDsrEnabled(config.lb) && (types & CT_ENTRY_DSR) !== 0 && entry.dsrInternal;
}

/** `ct_update_timeout`. @returns how many bytes of the packet are told of */
function updateTimeout(
  ctx: TcContext,
  obj: BpfObject,
  entry: CtEntry,
  isTcp: boolean,
  dir: CtDir,
  flags: number,
): number {
  if (isTcp && (flags & TCP_SYN) === 0) entry.seenNonSyn = true;
  return touch(ctx, obj, entry, lifetimeOf(obj, entry, isTcp, dir), dir, flags);
}

function lifetimeOf({ config }: BpfObject, entry: CtEntry, isTcp: boolean, dir: CtDir): number {
  const { ct } = config;
  if (!isTcp) return dir === CT_SERVICE ? ct.serviceAny : ct.any;
  if (!entry.seenNonSyn) return ct.syn;
  return dir === CT_SERVICE ? ct.serviceTcp : ct.tcp;
}

/** `__ct_update_timeout` */
function touch(
  ctx: TcContext,
  obj: BpfObject,
  entry: CtEntry,
  lifetime: number,
  dir: CtDir,
  flags: number,
): number {
  return touchAt(obj, entry, lifetime, dir, flags, ctx.now);
}

function touchAt(
  { config }: BpfObject,
  entry: CtEntry,
  lifetime: number,
  dir: CtDir,
  flags: number,
  time: number,
): number {
  const now = Math.floor(time / 1000);
  entry.lifetime = now + lifetime;
  const isIngress = dir === CT_INGRESS;
  const seen = isIngress ? entry.rxFlagsSeen : entry.txFlagsSeen;
  const lastReport = isIngress ? entry.lastRxReport : entry.lastTxReport;
  const flagsSeen = seen | (flags & config.reportFlags);
  // 0 is never: machines have been up before the clock starts.
  const isRecent = lastReport !== 0 && lastReport + config.ct.report >= now;
  if (isRecent && flagsSeen === seen) return 0;
  if (isIngress) {
    entry.rxFlagsSeen = flagsSeen;
    entry.lastRxReport = Math.max(1, now);
  } else {
    entry.txFlagsSeen = flagsSeen;
    entry.lastTxReport = Math.max(1, now);
  }
  return TRACE_PAYLOAD_LEN;
}

/** `ct_lookup_fill_state` */
function fillState(state: CtState, entry: CtEntry, dir: CtDir, syn: boolean): void {
  state.revNatIndex = entry.revNatIndex;
  if (dir === CT_SERVICE) {
    state.backendId = entry.backendId;
    state.syn = syn;
    return;
  }
  state.loopback = entry.lbLoopback;
  state.nodePort = entry.nodePort;
  state.dsrInternal = entry.dsrInternal;
  state.proxyRedirect = entry.proxyRedirect;
  state.fromL7lb = entry.fromL7lb;
  state.fromTunnel = entry.fromTunnel;
}

/**
 * Remembers a connection, and with `related` what errors about it look like (`ct_create4`, `ct_create6`).
 * @returns 0, or a reason to drop
 */
export function ctCreate(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  related: CtMap | undefined,
  tuple: CtTuple,
  dir: CtDir,
  state: CtState | undefined,
): number {
  const entry: CtEntry = {
    backendId: dir === CT_SERVICE ? (state?.backendId ?? 0) : 0,
    packets: 0,
    bytes: 0,
    lifetime: 0,
    rxClosing: false,
    txClosing: false,
    lbLoopback: false,
    seenNonSyn: false,
    nodePort: false,
    proxyRedirect: false,
    dsrInternal: false,
    fromL7lb: false,
    fromTunnel: false,
    revNatIndex: state?.revNatIndex ?? 0,
    txFlagsSeen: 0,
    rxFlagsSeen: 0,
    srcSecId: state?.srcSecId ?? 0,
    lastTxReport: 0,
    lastRxReport: 0,
  };
  if (state !== undefined && dir !== CT_SERVICE) {
    entry.lbLoopback = state.loopback;
    entry.nodePort = state.nodePort;
    entry.dsrInternal = state.dsrInternal;
    entry.fromTunnel = state.fromTunnel;
    entry.proxyRedirect = state.proxyRedirect;
    entry.fromL7lb = state.fromL7lb;
  }
  const isTcp = tuple.nexthdr === IPPROTO_TCP;
  updateTimeout(ctx, obj, entry, isTcp, dir, isTcp ? TCP_SYN : 0);
  if (related !== undefined) {
    const { daddr, saddr } = tuple;
    const icmp = typeof daddr === "number" ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    const key = new CtTuple(daddr, saddr, 0, 0, icmp, tuple.flags | TUPLE_F_RELATED);
    if (ctx.update(related, key, { ...entry }) !== undefined) return DROP_CT_CREATE_FAILED;
  }
  if (obj.config.conntrackAccounting) {
    entry.packets = 1;
    entry.bytes = ctx.length;
  }
  return ctx.update(map, tuple.clone(), entry) === undefined ? 0 : DROP_CT_CREATE_FAILED;
}

/** The entry of a connection's way out, whatever way `tuple` says. */
function egressEntry(ctx: TcContext, map: CtMap, tuple: CtTuple): CtEntry | undefined {
  const { flags } = tuple;
  tuple.flags = TUPLE_F_OUT;
  const entry = ctx.lookup(map, tuple);
  tuple.flags = flags;
  return entry;
}

/** `ct_has_loopback_egress_entry4`: an endpoint talks to itself through a service */
export function hasLoopbackEgressEntry(ctx: TcContext, map: CtMap, tuple: CtTuple): boolean {
  return egressEntry(ctx, map, tuple)?.lbLoopback ?? false;
}

/** `ct_has_nodeport_egress_entry4`. @returns the service's number, 0 for one of DSR; `undefined` for no such entry */
export function nodePortEgressEntry(
  ctx: TcContext,
  map: CtMap,
  tuple: CtTuple,
  checkDsr: boolean,
): number | undefined {
  const entry = egressEntry(ctx, map, tuple);
  if (entry === undefined) return undefined;
  if (entry.nodePort) return entry.revNatIndex;
  return checkDsr && entry.dsrInternal ? 0 : undefined;
}

/** `ct_has_dsr_egress_entry4` */
export function hasDsrEgressEntry(ctx: TcContext, map: CtMap, tuple: CtTuple): boolean {
  return egressEntry(ctx, map, tuple)?.dsrInternal ?? false;
}

/** Whether a packet on its way out answers one that came in (`ct_is_reply4`, `ct_is_reply6`). */
export function ctIsReply(ctx: TcContext, map: CtMap, tuple: CtTuple): boolean {
  const { flags } = tuple;
  tuple.flags = TUPLE_F_IN;
  const found = ctx.lookup(map, tuple) !== undefined;
  tuple.flags = flags;
  return found;
}

/** `ct_update_svc_entry` */
export function ctUpdateSvcEntry(
  ctx: TcContext,
  map: CtMap,
  tuple: CtTuple,
  backendId: number,
  revNatIndex: number,
): void {
  const entry = ctx.lookup(map, tuple);
  if (entry === undefined) return;
  ctx.unrepeatable();
  entry.backendId = backendId;
  entry.revNatIndex = revNatIndex;
  // In place, as through a pointer; flows that relied on it are walked again.
  map.write(tuple.clone(), entry);
}

/** `ct_update_dsr` */
export function ctUpdateDsr(ctx: TcContext, map: CtMap, tuple: CtTuple, dsr: boolean): void {
  const entry = ctx.lookup(map, tuple);
  if (entry === undefined || entry.dsrInternal === dsr) return;
  ctx.unrepeatable();
  entry.dsrInternal = dsr;
  map.write(tuple.clone(), entry);
}
