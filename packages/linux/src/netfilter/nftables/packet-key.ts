import { DATA_TYPES, type DataType } from "./data-type.ts";

/** What is read of a packet's metadata or connection. */
export interface KeyTemplate {
  readonly type: DataType;
  readonly bits: number;
  /** Printed without the word `meta` before it. */
  readonly bare?: boolean;
}

const { hostInteger, mark, ifname, iface_index, inet_proto, nf_proto, ether_type } = DATA_TYPES;

export type MetaKey =
  | "length"
  | "protocol"
  | "nfproto"
  | "l4proto"
  | "priority"
  | "mark"
  | "iif"
  | "iifname"
  | "oif"
  | "oifname"
  | "skuid"
  | "skgid"
  | "nftrace"
  | "pkttype"
  | "random"
  | "ibrname"
  | "obrname";

/** `meta KEY` (nft's meta.c meta_templates, without what is not modelled). */
export const META_KEYS: Readonly<Record<MetaKey, KeyTemplate>> = {
  length: { type: hostInteger, bits: 32 },
  protocol: { type: ether_type, bits: 16 },
  nfproto: { type: nf_proto, bits: 8 },
  l4proto: { type: inet_proto, bits: 8 },
  priority: { type: DATA_TYPES.classid, bits: 32 },
  mark: { type: mark, bits: 32 },
  iif: { type: iface_index, bits: 32, bare: true },
  iifname: { type: ifname, bits: 128, bare: true },
  oif: { type: iface_index, bits: 32, bare: true },
  oifname: { type: ifname, bits: 128, bare: true },
  skuid: { type: DATA_TYPES.uid, bits: 32 },
  skgid: { type: DATA_TYPES.gid, bits: 32 },
  nftrace: { type: hostInteger, bits: 1 },
  pkttype: { type: DATA_TYPES.pkt_type, bits: 8 },
  random: { type: hostInteger, bits: 32 },
  ibrname: { type: ifname, bits: 128 },
  obrname: { type: ifname, bits: 128 },
};

export function isMetaKey(name: string): name is MetaKey {
  return Object.hasOwn(META_KEYS, name);
}

/** Keys that may stand without `meta` (parser_bison.y meta_key_unqualified). */
export const UNQUALIFIED_META_KEYS: ReadonlySet<string> = new Set([
  "mark",
  "iif",
  "iifname",
  "oif",
  "oifname",
  "skuid",
  "skgid",
  "nftrace",
  "pkttype",
]);

export interface CtTemplate extends KeyTemplate {
  /** Whether `original` or `reply` must, may or must not be said, or means nothing. */
  readonly direction: "needed" | "possible" | "ignored" | "none";
}

const { ipv4_addr, ipv6_addr, inet_service, time } = DATA_TYPES;

/** What `ct KEY` reads of a packet's connection (nft's ct.c ct_templates). */
export type CtKey =
  | "state"
  | "direction"
  | "status"
  | "mark"
  | "expiration"
  | "zone"
  | "id"
  | "l3proto"
  | "protocol"
  | "ip saddr"
  | "ip daddr"
  | "ip6 saddr"
  | "ip6 daddr"
  | "proto-src"
  | "proto-dst";

export const CT_KEYS: Readonly<Record<CtKey, CtTemplate>> = {
  state: { type: DATA_TYPES.ct_state, bits: 32, direction: "none" },
  direction: { type: DATA_TYPES.ct_dir, bits: 8, direction: "none" },
  status: { type: DATA_TYPES.ct_status, bits: 32, direction: "none" },
  mark: { type: mark, bits: 32, direction: "none" },
  expiration: { type: time, bits: 32, direction: "none" },
  zone: { type: DATA_TYPES.integer, bits: 16, direction: "possible" },
  id: { type: DATA_TYPES.integer, bits: 32, direction: "none" },
  l3proto: { type: nf_proto, bits: 8, direction: "ignored" },
  protocol: { type: inet_proto, bits: 8, direction: "ignored" },
  "ip saddr": { type: ipv4_addr, bits: 32, direction: "needed" },
  "ip daddr": { type: ipv4_addr, bits: 32, direction: "needed" },
  "ip6 saddr": { type: ipv6_addr, bits: 128, direction: "needed" },
  "ip6 daddr": { type: ipv6_addr, bits: 128, direction: "needed" },
  "proto-src": { type: inet_service, bits: 16, direction: "needed" },
  "proto-dst": { type: inet_service, bits: 16, direction: "needed" },
};

export function isCtKey(name: string): name is CtKey {
  return Object.hasOwn(CT_KEYS, name);
}
