import { IPPROTO_ICMP } from "@cnilab/net";
import type { Skb } from "../../skb.ts";
import type { Conntrack } from "../conntrack.ts";
import type { ConntrackEntry, ConntrackInfo } from "../conntrack-entry.ts";
import { TRACK_INVALID, TRACKED, type Tracked } from "./tracker.ts";

/** Queries: echo, timestamp, information, address mask. Nothing else begins a connection. */
const ICMP_QUERIES: readonly number[] = [8, 13, 15, 17];
/** Echo request, node information query. */
const ICMPV6_QUERIES: readonly number[] = [128, 139];

/** ICMP and ICMPv6 queries and their answers (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c). */
export function trackIcmp(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
): Tracked {
  const v4 = entry.protocol === IPPROTO_ICMP;
  if ((entry.family === 4) !== v4) return TRACK_INVALID;
  const type = entry.original.dstPort >>> 8;
  if (!(v4 ? ICMP_QUERIES : ICMPV6_QUERIES).includes(type)) {
    return conntrack.invalid(`ICMP type ${type} begins no connection`);
  }
  const { settings } = conntrack;
  conntrack.refresh(entry, info, skb, v4 ? settings.icmp : settings.icmpv6);
  return TRACKED;
}

/** Protocols without a tracker of their own (nf_conntrack_proto_generic.c). */
export function trackGeneric(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
): Tracked {
  conntrack.refresh(entry, info, skb, conntrack.settings.generic);
  return TRACKED;
}
