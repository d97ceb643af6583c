import { compareIp, type IpAddress, Ipv6Address } from "@cnilab/net";
import { addressWord } from "../conntrack/conntrack-table.ts";
import {
  invertPorts,
  invertTuple,
  isIcmp,
  sameTuple,
  tupleHasPorts,
} from "../conntrack/conntrack-tuple.ts";
import type { Conntrack } from "../conntrack.ts";
import {
  type ConntrackEntry,
  IP_CT_DIR_REPLY,
  IPS_DST_NAT,
  IPS_DST_NAT_DONE,
  IPS_SRC_NAT,
  IPS_SRC_NAT_DONE,
  type Tuple,
} from "../conntrack-entry.ts";
import { NF_ACCEPT, type NfVerdict } from "../hooks.ts";
import { jhash2, reciprocalScale } from "./jhash.ts";
import { type NatManip, type NatRange, NF_NAT_MANIP_DST, NF_NAT_MANIP_SRC } from "./nat-range.ts";

/** Ports that are tried from one random start; half as many from each further one. */
const MAX_ATTEMPTS = 128;
const MIN_ATTEMPTS = 16;

/** Whether NAT has decided about a connection, be it to leave it alone (`nf_nat_initialized`). */
export function isNatDone(entry: ConntrackEntry, manip: NatManip): boolean {
  return (entry.status & (manip === NF_NAT_MANIP_SRC ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE)) !== 0;
}

/**
 * Decides how a new connection is translated and how its answers will look
 * (net/netfilter/nf_nat_core.c nf_nat_setup_info).
 */
export function setupNat(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  range: NatRange,
  manip: NatManip,
): NfVerdict {
  if (entry.isConfirmed || isNatDone(entry, manip)) return NF_ACCEPT;
  const source = manip === NF_NAT_MANIP_SRC;
  const current = invertTuple(entry.reply) as Tuple;
  const translated = uniqueTuple(conntrack, entry, current, range, manip);
  let status = entry.status | (source ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE);
  if (!sameTuple(translated, current)) {
    entry.alterReply(invertTuple(translated) as Tuple);
    status |= source ? IPS_SRC_NAT : IPS_DST_NAT;
  }
  entry.status = status;
  return NF_ACCEPT;
}

/** No rule translates the connection: it keeps its address, and its port where that is free. */
export function setupNullBinding(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  manip: NatManip,
): NfVerdict {
  const { reply } = entry;
  const address = manip === NF_NAT_MANIP_SRC ? reply.dst : reply.src;
  return setupNat(conntrack, entry, { minAddress: address }, manip);
}

type MutableTuple = { -readonly [K in keyof Tuple]: Tuple[K] };

/** The tuple that a connection gets: in the range, and no other's if that can be (`get_unique_tuple`). */
function uniqueTuple(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  original: Tuple,
  range: NatRange,
  manip: NatManip,
): Tuple {
  const randomPort = range.random === true || range.fullyRandom === true;
  if (manip === NF_NAT_MANIP_SRC && !randomPort) {
    if (isInRange(original, range)) {
      if (!isUsed(conntrack, original, entry)) return original;
    } else {
      const mapped = mappingOfSource(conntrack, entry, original, range);
      if (mapped !== undefined && !isUsed(conntrack, mapped, entry)) return mapped;
    }
  }
  const tuple: MutableTuple = { ...original };
  chooseAddress(tuple, range, entry, manip);
  if (!randomPort) {
    if (range.minPort === undefined) {
      if (!isUsed(conntrack, tuple, entry)) return tuple;
    } else if (
      range.basePort === undefined &&
      isPortInRange(tuple, range, manip) &&
      (range.minPort === maxPortOf(range) || !isUsed(conntrack, tuple, entry))
    ) {
      return tuple;
    }
  }
  searchPort(conntrack, entry, tuple, range, manip);
  return tuple;
}

/** Whether another connection has the answers of a tuple (`nf_nat_used_tuple`). */
function isUsed(conntrack: Conntrack, tuple: Tuple, entry: ConntrackEntry): boolean {
  const ports = invertPorts(tuple.protocol, (tuple.srcPort << 16) | tuple.dstPort);
  const taken = conntrack.table.isTaken(
    addressWord(tuple.dst),
    addressWord(tuple.src),
    ports,
    entry,
  );
  if (taken) conntrack.statistics.found++;
  return taken;
}

function maxPortOf(range: NatRange): number {
  return range.maxPort ?? (range.minPort as number);
}

/** Whether a tuple's source is where the range wants it (`nf_in_range`). */
function isInRange(tuple: Tuple, range: NatRange): boolean {
  const { minAddress, maxAddress = minAddress } = range;
  if (minAddress !== undefined) {
    if (compareIp(tuple.src, minAddress) < 0) return false;
    if (compareIp(tuple.src, maxAddress as IpAddress) > 0) return false;
  }
  return range.minPort === undefined || isPortInRange(tuple, range, NF_NAT_MANIP_SRC);
}

/** `l4proto_in_range` */
function isPortInRange(tuple: Tuple, range: NatRange, manip: NatManip): boolean {
  const { protocol } = tuple;
  if (!isIcmp(protocol) && !tupleHasPorts(protocol)) return true;
  const port = isIcmp(protocol) || manip === NF_NAT_MANIP_SRC ? tuple.srcPort : tuple.dstPort;
  return port >= (range.minPort as number) && port <= maxPortOf(range);
}

/** The source that another connection from the same socket got, if the range allows (`find_appropriate_src`). */
function mappingOfSource(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  original: Tuple,
  range: NatRange,
): Tuple | undefined {
  const { table } = conntrack;
  let mapped: Tuple | undefined;
  table.findBySource(entry, (slot) => {
    const { dst, srcPort, dstPort } = table.tuple(slot, IP_CT_DIR_REPLY);
    const port = isIcmp(original.protocol) ? srcPort : dstPort;
    const candidate = { ...original, src: dst, srcPort: port };
    if (!isInRange(candidate, range)) return false;
    mapped = candidate;
    return true;
  });
  return mapped;
}

/** An address of the range: by hash, so that a client keeps the one it has (`find_best_ips_proto`). */
function chooseAddress(
  tuple: MutableTuple,
  range: NatRange,
  entry: ConntrackEntry,
  manip: NatManip,
): void {
  const { minAddress, maxAddress = minAddress } = range;
  if (minAddress === undefined) return;
  const chosen =
    minAddress === maxAddress
      ? minAddress
      : addressByHash(tuple, minAddress, maxAddress as IpAddress, range.persistent === true, entry);
  if (manip === NF_NAT_MANIP_SRC) tuple.src = chosen;
  else tuple.dst = chosen;
}

function addressByHash(
  tuple: Tuple,
  min: IpAddress,
  max: IpAddress,
  persistent: boolean,
  entry: ConntrackEntry,
): IpAddress {
  const src = networkWords(tuple.src);
  const dst = networkWords(tuple.dst);
  const last = dst.length - 1;
  let hash = jhash2(
    [...src, 0, 0, 0].slice(0, 4),
    persistent ? 0 : ((dst[last] as number) ^ entry.zone) >>> 0,
  );
  const low = hostWords(min);
  const high = hostWords(max);
  const chosen: number[] = [];
  let wholeRange = false;
  for (let i = 0; i <= last; i++) {
    const from = wholeRange ? 0 : (low[i] as number);
    // A range of all 2^32 words counts as none, as in the kernel's 32-bit arithmetic.
    const count = wholeRange ? 0xffffffff : ((high[i] as number) - from + 1) >>> 0;
    const word = (from + reciprocalScale(hash, count)) >>> 0;
    chosen.push(word);
    if (word !== high[i]) wholeRange = true;
    if (!persistent) hash = (hash ^ (dst[i] as number)) >>> 0;
  }
  if (chosen.length === 1) return chosen[0] as number;
  const [a, b, c, d] = chosen as [number, number, number, number];
  return Ipv6Address.of(a, b, c, d);
}

function hostWords(address: IpAddress): number[] {
  if (typeof address === "number") return [address];
  return [address.a, address.b, address.c, address.d];
}

/** An address as a little-endian machine reads its words, which is what the kernel hashes. */
function networkWords(address: IpAddress): number[] {
  return hostWords(address).map(
    (w) => ((w << 24) | ((w & 0xff00) << 8) | ((w >>> 8) & 0xff00) | (w >>> 24)) >>> 0,
  );
}

/** Tries ports until one is free; leaves the last one where none is (`nf_nat_l4proto_unique_tuple`). */
function searchPort(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  tuple: MutableTuple,
  range: NatRange,
  manip: NatManip,
): void {
  const { protocol } = tuple;
  const icmp = isIcmp(protocol);
  if (!icmp && !tupleHasPorts(protocol)) {
    entry.tupleExhausted = isUsed(conntrack, tuple, entry);
    return;
  }
  const key = icmp || manip === NF_NAT_MANIP_SRC ? "srcPort" : "dstPort";
  const limits = portLimits(tuple, range, manip, icmp);
  if (limits === undefined) {
    entry.tupleExhausted = isUsed(conntrack, tuple, entry);
    return;
  }
  const [min, size] = limits;
  const { random } = conntrack.netns.kernel;
  let offset =
    range.basePort !== undefined
      ? (tuple[key] - range.basePort + 0x10000) & 0xffff
      : random.below(0x10000);
  let attempts = Math.min(size, MAX_ATTEMPTS);
  for (;;) {
    for (let i = 0; i < attempts; i++, offset = (offset + 1) & 0xffff) {
      tuple[key] = min + (offset % size);
      if (!isUsed(conntrack, tuple, entry)) return;
    }
    if (attempts >= size || attempts < MIN_ATTEMPTS) break;
    attempts >>>= 1;
    offset = random.below(0x10000);
  }
  entry.tupleExhausted = true;
}

/** The first port to try and how many there are; `undefined` where the port must stay. */
function portLimits(
  tuple: Tuple,
  range: NatRange,
  manip: NatManip,
  icmp: boolean,
): readonly [min: number, size: number] | undefined {
  if (range.minPort !== undefined) {
    const min = Math.min(range.minPort, maxPortOf(range));
    return [min, Math.max(range.minPort, maxPortOf(range)) - min + 1];
  }
  if (icmp) return [0, 0x10000];
  if (manip === NF_NAT_MANIP_DST) return undefined;
  // Ports keep their class: servers may trust those below 1024.
  if (tuple.srcPort < 512) return [1, 511];
  return tuple.srcPort < 1024 ? [600, 424] : [1024, 64_512];
}
