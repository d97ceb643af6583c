import type { Skb } from "../../skb.ts";
import type { Conntrack } from "../conntrack.ts";
import type { ConntrackEntry, ConntrackInfo } from "../conntrack-entry.ts";

/** What a protocol makes of a packet of a connection. */
export type Tracked =
  /** Part of the connection. */
  | typeof TRACKED
  /** Not valid: it goes on without a connection. */
  | typeof TRACK_INVALID
  /** The connection is over, and the packet begins another one with the same tuple. */
  | typeof TRACK_AGAIN;
export const TRACKED = 0;
export const TRACK_INVALID = 1;
export const TRACK_AGAIN = 2;

/** Follows the connections of one protocol (`struct nf_conntrack_l4proto` and its `…_packet`). */
export type Tracker = (
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
) => Tracked;
