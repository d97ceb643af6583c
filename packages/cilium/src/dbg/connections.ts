import type { Kernel } from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";
import {
  type CtEntry,
  type CtTuple,
  ctEntryFlags,
  ctEntryText,
  TUPLE_F_IN,
  TUPLE_F_RELATED,
  TUPLE_F_SERVICE,
} from "../datapath/maps/conntrack-map.ts";
import { protocolText } from "../datapath/maps/map-key.ts";
import type { NatEntry } from "../datapath/maps/snat-map.ts";
import { networkOrder, pinnedMap } from "./bpf-maps.ts";
import type { DbgOutput } from "./listing.ts";

const CT_MAPS = [
  "cilium_ct4_global",
  "cilium_ct_any4_global",
  "cilium_ct6_global",
  "cilium_ct_any6_global",
] as const;
const NAT_MAPS = ["cilium_snat_v4_external", "cilium_snat_v6_external"] as const;

/** `cilium-dbg bpf ct list global` (bpf_ct_list.go): one map after the other, an empty line behind each. */
export function ctList(kernel: Kernel): DbgOutput {
  const maps = CT_MAPS.flatMap((name) => pinnedMap<CtTuple, CtEntry>(kernel, name) ?? []).map(
    (map) => map.entries(),
  );
  const line = ([key, entry]: readonly [CtTuple, CtEntry]) =>
    `${ctKeyDump(key)} ${ctEntryText(entry)} \n`;
  return {
    text: maps.map((entries) => `${entries.map(line).join("")}\n`).join(""),
    json: maps.flat().map(([key, entry]) => ({ Key: tupleJson(key), Value: ctJson(entry) })),
  };
}

/** `CtKey4Global.Dump`: of what is stored, addresses are those of the way back. */
function ctKeyDump({ daddr, saddr, dport, sport, nexthdr, flags }: CtTuple): string {
  const [to, from] = [saddr, daddr].map(formatIp);
  const related = (flags & TUPLE_F_RELATED) === 0 ? "" : " related";
  const way =
    (flags & TUPLE_F_SERVICE) !== 0
      ? `SVC ${to}:${dport} -> ${from}:${sport}`
      : `${(flags & TUPLE_F_IN) === 0 ? "OUT" : "IN"} ${from}:${sport} -> ${to}:${dport}`;
  return `${protocolText(nexthdr)} ${way}${related}`;
}

function tupleJson({ daddr, saddr, dport, sport, nexthdr, flags }: CtTuple) {
  return {
    DestAddr: bytes(daddr),
    SourceAddr: bytes(saddr),
    DestPort: networkOrder(dport),
    SourcePort: networkOrder(sport),
    NextHeader: nexthdr,
    Flags: flags,
  };
}

function ctJson(entry: CtEntry) {
  return {
    Reserved0: 0,
    BackendID: entry.backendId,
    Packets: entry.packets,
    Bytes: entry.bytes,
    Lifetime: entry.lifetime,
    Flags: ctEntryFlags(entry),
    RevNAT: networkOrder(entry.revNatIndex),
    Reserved4: 0,
    TxFlagsSeen: entry.txFlagsSeen,
    RxFlagsSeen: entry.rxFlagsSeen,
    SourceSecurityID: entry.srcSecId,
    LastTxReport: entry.lastTxReport,
    LastRxReport: entry.lastRxReport,
  };
}

/** `cilium-dbg bpf nat list` (bpf_nat_list.go). @param now virtual seconds */
export function natList(kernel: Kernel, now: number): DbgOutput {
  const maps = NAT_MAPS.flatMap((name) => pinnedMap<CtTuple, NatEntry>(kernel, name) ?? []).map(
    (map) => map.entries(),
  );
  const line = ([key, entry]: readonly [CtTuple, NatEntry]) => {
    const isIn = (key.flags & TUPLE_F_IN) !== 0;
    const from = `${hostText(key.saddr)}:${key.sport}`;
    const to = `${hostText(key.daddr)}:${key.dport}`;
    const related = (key.flags & TUPLE_F_RELATED) === 0 ? "" : " related";
    const service = (key.flags & TUPLE_F_SERVICE) === 0 ? "" : " service";
    return (
      `${protocolText(key.nexthdr)} ${isIn ? "IN" : "OUT"} ${from} -> ${to}${related}${service} ` +
      `XLATE_${isIn ? "DST" : "SRC"} ${hostText(entry.toAddress)}:${entry.toPort} ` +
      `Created=${now - entry.created}sec ago NeedsCT=${Number(entry.needsCt)}\n`
    );
  };
  return {
    text: maps.map((entries) => `${entries.map(line).join("")}\n`).join(""),
    json: maps.flat().map(([key, entry]) => ({
      Key: tupleJson(key),
      Value: {
        Created: entry.created,
        NeedsCT: Number(entry.needsCt),
        Pad1: 0,
        Pad2: 0,
        Addr: bytes(entry.toAddress),
        Port: networkOrder(entry.toPort),
      },
    })),
  };
}

function hostText(address: IpAddress): string {
  return typeof address === "number" ? formatIp(address) : `[${formatIp(address)}]`;
}

function bytes(address: IpAddress): number[] {
  const words =
    typeof address === "number" ? [address] : [address.a, address.b, address.c, address.d];
  return words.flatMap((word) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff));
}
