import type { Skb } from "../../skb.ts";
import type { Conntrack } from "../conntrack.ts";
import {
  type ConntrackEntry,
  type ConntrackInfo,
  IPS_ASSURED,
  IPS_NAT_CLASH,
  IPS_SEEN_REPLY,
} from "../conntrack-entry.ts";
import { TRACKED, type Tracked } from "./tracker.ts";

/** Milliseconds after which packets both ways make a stream. */
const STREAM_AFTER_MS = 2000;

/**
 * UDP (net/netfilter/nf_conntrack_proto_udp.c): a connection lives for `udp_timeout` after each packet,
 * and for `udp_timeout_stream` once packets go both ways two seconds after its beginning.
 */
export function trackUdp(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
): Tracked {
  const { settings, table } = conntrack;
  const { status } = entry;
  if (!entry.isConfirmed) entry.streamTime = (table.now + STREAM_AFTER_MS) | 0;
  if ((status & IPS_SEEN_REPLY) === 0) {
    conntrack.refresh(entry, info, skb, settings.udp);
    return TRACKED;
  }
  const untilStream = (entry.streamTime - table.now) | 0;
  // Once assured it is a stream for good; the two times are too far apart to compare some day.
  const stream = (status & IPS_ASSURED) !== 0 || untilStream < 0;
  conntrack.refresh(entry, info, skb, stream ? settings.udpStream : settings.udp);
  if (!stream) conntrack.repeatableFor(untilStream);
  // What clashed is to go away soon.
  if (stream && (status & (IPS_ASSURED | IPS_NAT_CLASH)) === 0) {
    entry.status = status | IPS_ASSURED;
  }
  return TRACKED;
}
