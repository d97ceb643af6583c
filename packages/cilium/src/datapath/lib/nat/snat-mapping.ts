import type { TcContext } from "@cnilab/linux";
import { BPF_ANY, BPF_NOEXIST } from "@cnilab/linux";
import { CtTuple, TUPLE_F_IN, TUPLE_F_OUT } from "../../maps/conntrack-map.ts";
import type { NatEntry } from "../../maps/snat-map.ts";
import type { Signal } from "../../node-maps.ts";
import type { BpfObject } from "../bpf-object.ts";
import {
  CT_EGRESS,
  CT_ENTRY_ANY,
  CT_INGRESS,
  CT_NEW,
  ctCreate,
  ctLazyLookup,
  monoNow,
  SCOPE_FORWARD,
  SCOPE_REVERSE,
} from "../conntrack.ts";
import { DROP_NAT_NO_MAPPING } from "../drop-reason.ts";
import type { TraceCtx } from "../trace.ts";
import type { NatTarget } from "./nat-target.ts";

// Mappings of sources (bpf/lib/nat.h). Tuples have ports as headers have them, not turned around. Each mapping is two entries:
// the way out says what the source becomes, the way back what the destination was.

/** `SNAT_COLLISION_RETRIES` */
const SNAT_COLLISION_RETRIES = 32;
/** `SNAT_SIGNAL_THRES`: more make the agent look for mappings that may go. */
const SNAT_SIGNAL_THRES = SNAT_COLLISION_RETRIES / 2;

/**
 * What the source of a packet becomes (`snat_v4_nat_handle_mapping`, `snat_v6_…`): as its connection's first packet became,
 * unless that was another address.
 * @returns a reason to drop, where no port is free
 */
export function natMapping(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  target: NatTarget,
  trace: TraceCtx,
): NatEntry | number {
  const map = obj.maps.snat(ctx.ip.version);
  const known = ctx.lookup(map, tuple);
  if (target.needsCt) {
    const ret = trackConnection(ctx, obj, tuple, trace);
    if (ret < 0) return ret;
  }
  if (known === undefined) return newMapping(ctx, obj, tuple, target);
  const back = reverseOf(tuple, known);
  if (known.toAddress === target.address && known.needsCt === target.needsCt) {
    // The map may have given the way back up alone.
    if (ctx.lookup(map, back) !== undefined) return known;
    const entry = reverseEntry(ctx, tuple, target.needsCt);
    return ctx.update(map, back, entry) === undefined ? known : DROP_NAT_NO_MAPPING;
  }
  ctx.delete(map, tuple);
  if (ctx.lookup(map, back) !== undefined) ctx.delete(map, back);
  return newMapping(ctx, obj, tuple, target);
}

function trackConnection(ctx: TcContext, obj: BpfObject, tuple: CtTuple, trace: TraceCtx): number {
  const ct = tuple.clone();
  ct.swapAddresses();
  const map = obj.maps.ct(ct.daddr, ct.nexthdr);
  const ret = ctLazyLookup(
    ctx,
    obj,
    map,
    ct,
    ctx.ip,
    CT_EGRESS,
    SCOPE_FORWARD,
    CT_ENTRY_ANY,
    undefined,
    trace,
  );
  if (ret < 0) return ret;
  trace.reason = ret;
  return ret === CT_NEW ? ctCreate(ctx, obj, map, undefined, ct, CT_EGRESS, undefined) : 0;
}

/**
 * Finds a free port: the packet's own if it is in the range, then one at random, then those behind it
 * (`snat_v4_new_mapping`).
 */
function newMapping(
  ctx: TcContext,
  { maps }: BpfObject,
  tuple: CtTuple,
  { address, minPort, maxPort, needsCt }: NatTarget,
): NatEntry | number {
  const family = ctx.ip.version;
  const map = maps.snat(family);
  const created = monoNow(ctx);
  const back = reverseEntry(ctx, tuple, needsCt);
  const { sport } = tuple;
  let port =
    sport >= minPort && sport <= maxPort ? sport : clampPort(minPort, maxPort, random16(ctx));
  for (let retries = 0; retries < SNAT_COLLISION_RETRIES; retries++) {
    const entry: NatEntry = { toAddress: address, toPort: port, created, needsCt };
    const key = reverseOf(tuple, entry);
    if (retries === SNAT_SIGNAL_THRES + 1) {
      ctx.output<Signal>(maps.signals, { signal: "nat-fill-up", family });
    }
    if (ctx.update(map, key, back, BPF_NOEXIST) === undefined) {
      if (ctx.update(map, tuple.clone(), entry, BPF_ANY) === undefined) return entry;
      ctx.delete(map, key);
      return DROP_NAT_NO_MAPPING;
    }
    port = clampPort(minPort, maxPort, retries === 0 ? random16(ctx) : (port + 1) & 0xffff);
  }
  return DROP_NAT_NO_MAPPING;
}

/** `(__u16)get_prandom_u32()` */
function random16(ctx: TcContext): number {
  return ctx.random() & 0xffff;
}

/** `__snat_clamp_port_range`: a number of 16 bits, spread over the range. */
function clampPort(first: number, last: number, value: number): number {
  return first + ((value * (last - first + 1)) >>> 16);
}

/** `set_v4_rtuple` */
function reverseOf({ nexthdr, daddr, dport }: CtTuple, { toAddress, toPort }: NatEntry): CtTuple {
  // dest, source, dest port, source port
  return new CtTuple(toAddress, daddr, toPort, dport, nexthdr, TUPLE_F_IN);
}

function reverseEntry(ctx: TcContext, { saddr, sport }: CtTuple, needsCt: boolean): NatEntry {
  return { toAddress: saddr, toPort: sport, created: monoNow(ctx), needsCt };
}

/**
 * What the destination of an answer was (`snat_v4_rev_nat_handle_mapping`, `snat_v6_…`).
 * @returns a reason to drop, or DROP_NAT_NO_MAPPING for what answers nothing
 */
export function reverseNatMapping(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  trace: TraceCtx,
): NatEntry | number {
  const map = obj.maps.snat(ctx.ip.version);
  const known = ctx.lookup(map, tuple);
  if (known === undefined) return DROP_NAT_NO_MAPPING;
  const { toAddress, toPort, needsCt } = known;
  const { saddr, sport, daddr, dport, nexthdr } = tuple;
  // The map may have given the way out up alone.
  const out = new CtTuple(saddr, toAddress, sport, toPort, nexthdr, TUPLE_F_OUT);
  if (ctx.lookup(map, out) === undefined) {
    const entry: NatEntry = { toAddress: daddr, toPort: dport, created: monoNow(ctx), needsCt };
    if (ctx.update(map, out, entry) !== undefined) return DROP_NAT_NO_MAPPING;
  }
  if (!needsCt) return known;
  const ct = new CtTuple(toAddress, saddr, sport, toPort, nexthdr, tuple.flags);
  const ret = ctLazyLookup(
    ctx,
    obj,
    obj.maps.ct(ct.daddr, nexthdr),
    ct,
    ctx.ip,
    CT_INGRESS,
    SCOPE_REVERSE,
    CT_ENTRY_ANY,
    undefined,
    trace,
  );
  if (ret < 0) return ret;
  trace.reason = ret;
  return known;
}

/** How a backend's answers are to look, where its node sends them itself (`snat_v4_create_dsr`, `snat_v6_create_dsr`). */
export function createDsrMapping(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  service: Pick<NatEntry, "toAddress" | "toPort">,
): number {
  const key = tuple.clone();
  key.flags = TUPLE_F_OUT;
  key.swapPorts();
  const entry: NatEntry = { ...service, created: monoNow(ctx), needsCt: false };
  const errno = ctx.update(obj.maps.snat(ctx.ip.version), key, entry);
  return errno === undefined ? 0 : DROP_NAT_NO_MAPPING;
}
