import { BpfLruHash, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatEndpoint, type IpAddress, type IpFamily } from "@cnilab/net";
import { packPair, protocolText } from "./map-key.ts";

/** `TUPLE_F_*`: which way a connection goes, and whether the entry is an error's or a service's. */
export const TUPLE_F_OUT = 0;
export const TUPLE_F_IN = 1;
export const TUPLE_F_RELATED = 2;
export const TUPLE_F_SERVICE = 4;

/**
 * A connection's key (`struct ipv4_ct_tuple`, `ipv6_ct_tuple`). As there, the names of addresses are right for packets of
 * the way back, those of ports for the way out. Programs turn one around in place; what goes into a map is a copy.
 */
export class CtTuple {
  daddr: IpAddress;
  saddr: IpAddress;
  dport: number;
  sport: number;
  /** Protocol. */
  nexthdr: number;
  flags: number;

  constructor(
    daddr: IpAddress,
    saddr: IpAddress,
    dport: number,
    sport: number,
    nexthdr: number,
    flags: number,
  ) {
    this.daddr = daddr;
    this.saddr = saddr;
    this.dport = dport;
    this.sport = sport;
    this.nexthdr = nexthdr;
    this.flags = flags;
  }

  clone(): CtTuple {
    return new CtTuple(this.daddr, this.saddr, this.dport, this.sport, this.nexthdr, this.flags);
  }

  /** `ipv4_ct_tuple_swap_addrs` */
  swapAddresses(): void {
    const { daddr } = this;
    this.daddr = this.saddr;
    this.saddr = daddr;
  }

  /** `ipv4_ct_tuple_swap_ports` */
  swapPorts(): void {
    const { dport } = this;
    this.dport = this.sport;
    this.sport = dport;
  }

  /** `__ipv4_ct_tuple_reverse`: the same connection, seen from its other end. */
  reverse(): void {
    this.swapAddresses();
    this.swapPorts();
    this.flags ^= TUPLE_F_IN;
  }
}

/** One number or string for each tuple of a family. */
export function packTuple({ daddr, saddr, dport, sport, nexthdr, flags }: CtTuple): string {
  return packPair(daddr, saddr, ((dport << 16) | sport) >>> 0, (nexthdr << 8) | flags);
}

/** A connection (`struct ct_entry`). Times are whole virtual seconds. */
export interface CtEntry {
  backendId: number;
  packets: number;
  bytes: number;
  /** Until when it holds. */
  lifetime: number;
  rxClosing: boolean;
  txClosing: boolean;
  lbLoopback: boolean;
  seenNonSyn: boolean;
  nodePort: boolean;
  proxyRedirect: boolean;
  dsrInternal: boolean;
  fromL7lb: boolean;
  fromTunnel: boolean;
  revNatIndex: number;
  /** TCP flags seen of who answers, and of who asks. */
  txFlagsSeen: number;
  rxFlagsSeen: number;
  srcSecId: number;
  lastTxReport: number;
  lastRxReport: number;
}

/** Bits of `flags` as they are listed (pkg/maps/ctmap/types.go). */
const FLAG_BITS: readonly (readonly [bit: number, name: string, field: keyof CtEntry])[] = [
  [1 << 0, "RxClosing", "rxClosing"],
  [1 << 1, "TxClosing", "txClosing"],
  [1 << 3, "LBLoopback", "lbLoopback"],
  [1 << 4, "SeenNonSyn", "seenNonSyn"],
  [1 << 5, "NodePort", "nodePort"],
  [1 << 6, "ProxyRedirect", "proxyRedirect"],
  [1 << 7, "DSRInternal", "dsrInternal"],
  [1 << 8, "FromL7LB", "fromL7lb"],
  [1 << 10, "FromTunnel", "fromTunnel"],
];

/** As it is listed: `TCP OUT 10.0.0.1:4000 -> 10.0.0.2:80`. */
export function ctKeyText({ daddr, saddr, dport, sport, nexthdr, flags }: CtTuple): string {
  const related = (flags & TUPLE_F_RELATED) !== 0 ? " related" : "";
  const name = protocolText(nexthdr);
  if ((flags & TUPLE_F_SERVICE) !== 0) {
    return `${name} SVC ${formatEndpoint(saddr, dport)} -> ${formatEndpoint(daddr, sport)}${related}`;
  }
  const way = (flags & TUPLE_F_IN) !== 0 ? "IN" : "OUT";
  return `${name} ${way} ${formatEndpoint(daddr, sport)} -> ${formatEndpoint(saddr, dport)}${related}`;
}

/** Bits of `flags`. */
export function ctEntryFlags(entry: CtEntry): number {
  return FLAG_BITS.reduce((flags, [bit, , field]) => flags | (entry[field] === true ? bit : 0), 0);
}

export function ctEntryText(entry: CtEntry): string {
  const names = FLAG_BITS.flatMap(([, name, field]) => (entry[field] === true ? `${name} ` : []));
  const hex = (value: number, digits: number) => `0x${value.toString(16).padStart(digits, "0")}`;
  return (
    `expires=${entry.lifetime} Packets=${entry.packets} Bytes=${entry.bytes} ` +
    `RxFlagsSeen=${hex(entry.rxFlagsSeen, 2)} LastRxReport=${entry.lastRxReport} ` +
    `TxFlagsSeen=${hex(entry.txFlagsSeen, 2)} LastTxReport=${entry.lastTxReport} ` +
    `Flags=${hex(ctEntryFlags(entry), 4)} [ ${names.join("")}] RevNAT=${entry.revNatIndex} ` +
    `SourceSecurityID=${entry.srcSecId} BackendID=${entry.backendId}`
  );
}

export type CtMap = BpfLruHash<CtTuple, CtEntry>;

const TEXT: BpfMapText<CtTuple, CtEntry> = { key: ctKeyText, value: ctEntryText };

/** `cilium_ct4_global` and 6 for TCP, `cilium_ct_any4_global` and 6 for all else (bpf/lib/conntrack_map.h). */
export function ctMap(
  kernel: Kernel,
  family: IpFamily,
  kind: "tcp" | "any",
  maxEntries: number,
): CtMap {
  const name = kind === "tcp" ? `cilium_ct${family}_global` : `cilium_ct_any${family}_global`;
  return new BpfLruHash(kernel, { name, maxEntries, pack: packTuple, text: TEXT });
}
