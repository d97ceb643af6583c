import { SctpPacket } from "@cnilab/net";
import type { Skb } from "../../skb.ts";
import type { Conntrack } from "../conntrack.ts";
import {
  type ConntrackEntry,
  type ConntrackInfo,
  type Direction,
  directionOf,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_ASSURED,
} from "../conntrack-entry.ts";
import { TRACK_INVALID, TRACKED, type Tracked } from "./tracker.ts";

// `enum sctp_conntrack`
const NONE = 0;
const CLOSED = 1;
const COOKIE_WAIT = 2;
const COOKIE_ECHOED = 3;
const ESTABLISHED = 4;
const SHUTDOWN_SENT = 5;
const SHUTDOWN_RECD = 6;
const SHUTDOWN_ACK_SENT = 7;
const HEARTBEAT_SENT = 8;
const INVALID = 9;

/** States by number, as `conntrack -L` prints them. */
export const SCTP_STATES: readonly string[] = [
  "NONE",
  "CLOSED",
  "COOKIE_WAIT",
  "COOKIE_ECHOED",
  "ESTABLISHED",
  "SHUTDOWN_SENT",
  "SHUTDOWN_RECD",
  "SHUTDOWN_ACK_SENT",
  "HEARTBEAT_SENT",
];

// Chunk types (RFC 9260 section 3.2)
const DATA = 0;
const INIT = 1;
const INIT_ACK = 2;
const HEARTBEAT = 4;
const HEARTBEAT_ACK = 5;
const ABORT = 6;
const SHUTDOWN = 7;
const SHUTDOWN_ACK = 8;
const ERROR = 9;
const COOKIE_ECHO = 10;
const COOKIE_ACK = 11;
const SHUTDOWN_COMPLETE = 14;

type Transitions = Readonly<Record<number, Readonly<Record<number, number>>>>;

/** What a chunk changes, by chunk and state; whatever is not here leaves the state as it is. */
const ORIGINAL_TRANSITIONS: Transitions = {
  [INIT]: {
    [NONE]: CLOSED,
    [SHUTDOWN_SENT]: CLOSED,
    [SHUTDOWN_RECD]: CLOSED,
    [HEARTBEAT_SENT]: COOKIE_WAIT,
  },
  [INIT_ACK]: { [NONE]: CLOSED, [HEARTBEAT_SENT]: CLOSED },
  [SHUTDOWN]: { [NONE]: CLOSED, [ESTABLISHED]: SHUTDOWN_SENT, [HEARTBEAT_SENT]: CLOSED },
  [SHUTDOWN_ACK]: {
    [NONE]: SHUTDOWN_ACK_SENT,
    [SHUTDOWN_SENT]: SHUTDOWN_ACK_SENT,
    [SHUTDOWN_RECD]: SHUTDOWN_ACK_SENT,
    [HEARTBEAT_SENT]: SHUTDOWN_ACK_SENT,
  },
  [ERROR]: { [NONE]: CLOSED, [HEARTBEAT_SENT]: CLOSED },
  [COOKIE_ECHO]: { [NONE]: CLOSED, [COOKIE_WAIT]: COOKIE_ECHOED, [HEARTBEAT_SENT]: CLOSED },
  [COOKIE_ACK]: { [NONE]: CLOSED, [COOKIE_ECHOED]: ESTABLISHED, [HEARTBEAT_SENT]: CLOSED },
  [SHUTDOWN_COMPLETE]: { [NONE]: CLOSED, [SHUTDOWN_ACK_SENT]: CLOSED, [HEARTBEAT_SENT]: CLOSED },
  [HEARTBEAT]: { [NONE]: HEARTBEAT_SENT },
  [HEARTBEAT_ACK]: { [NONE]: CLOSED },
};

const REPLY_TRANSITIONS: Transitions = {
  [INIT]: { [HEARTBEAT_SENT]: INVALID },
  [INIT_ACK]: { [CLOSED]: COOKIE_WAIT, [HEARTBEAT_SENT]: INVALID },
  [SHUTDOWN]: { [ESTABLISHED]: SHUTDOWN_RECD, [HEARTBEAT_SENT]: INVALID },
  [SHUTDOWN_ACK]: {
    [SHUTDOWN_SENT]: SHUTDOWN_ACK_SENT,
    [SHUTDOWN_RECD]: SHUTDOWN_ACK_SENT,
    [HEARTBEAT_SENT]: INVALID,
  },
  [ERROR]: { [COOKIE_ECHOED]: CLOSED, [HEARTBEAT_SENT]: INVALID },
  [COOKIE_ECHO]: { [COOKIE_WAIT]: COOKIE_ECHOED, [HEARTBEAT_SENT]: INVALID },
  [COOKIE_ACK]: { [COOKIE_ECHOED]: ESTABLISHED, [HEARTBEAT_SENT]: INVALID },
  [SHUTDOWN_COMPLETE]: { [SHUTDOWN_ACK_SENT]: CLOSED, [HEARTBEAT_SENT]: INVALID },
  [HEARTBEAT_ACK]: { [HEARTBEAT_SENT]: ESTABLISHED },
};

function nextState(direction: Direction, state: number, chunk: number): number {
  if (chunk === ABORT) {
    return direction === IP_CT_DIR_REPLY && (state === NONE || state === HEARTBEAT_SENT)
      ? INVALID
      : CLOSED;
  }
  const transitions = direction === IP_CT_DIR_ORIGINAL ? ORIGINAL_TRANSITIONS : REPLY_TRANSITIONS;
  const row = transitions[chunk];
  if (row === undefined) return state; // DATA and SACK change nothing
  if (direction === IP_CT_DIR_REPLY && state === NONE) return INVALID;
  return row[state] ?? state;
}

// Words of the record: the tags that packets of each direction carry, and where an INIT was seen.
const TAG = 0;
const INIT_SEEN = 2;

/** Chunks that may carry another tag than the direction's (RFC 9260 section 8.5). */
const OWN_TAG_RULE: readonly number[] = [
  INIT,
  SHUTDOWN_COMPLETE,
  COOKIE_ECHO,
  ABORT,
  SHUTDOWN_ACK,
  HEARTBEAT,
  HEARTBEAT_ACK,
];

/**
 * SCTP (net/netfilter/nf_conntrack_proto_sctp.c). Packets have one chunk in this model, and no T flag:
 * ABORT and SHUTDOWN COMPLETE may carry either side's tag. Paths beside the first (HEARTBEAT with a tag
 * of its own) are not followed.
 */
export function trackSctp(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
): Tracked {
  const packet = skb.ip.payload;
  if (!(packet instanceof SctpPacket)) return TRACK_INVALID;
  conntrack.unrepeatable();
  const { chunkType: chunk, verificationTag: tag } = packet;
  const direction = directionOf(info);
  const isNew = !entry.isConfirmed;
  if (isNew) {
    if (chunk === ABORT || chunk === SHUTDOWN_COMPLETE || chunk === COOKIE_ACK) {
      return conntrack.invalid("SCTP chunk out of the blue");
    }
    const first = nextState(IP_CT_DIR_ORIGINAL, NONE, chunk);
    if (first === NONE || first === INVALID) {
      return conntrack.invalid("SCTP chunk begins no association");
    }
  }
  const { record } = entry;
  const at = entry.recordOffset;
  const own = at + TAG + direction;
  const other = at + TAG + (1 - direction);
  if (isNew && chunk === HEARTBEAT) record[own] = tag;
  if (isNew && chunk === SHUTDOWN_ACK) record[other] = tag;
  if (!tagFits(chunk, tag, record[own] as number, record[other] as number)) {
    return conntrack.invalid(`SCTP verification tag 0x${tag.toString(16)}`);
  }
  const old = entry.state;
  const next = nextState(direction, old, chunk);
  if (next === INVALID) return conntrack.invalid(`SCTP chunk ${chunk} in ${SCTP_STATES[old]}`);
  if (chunk === INIT || chunk === INIT_ACK) {
    if (!noteTag(record, at, direction, chunk, packet.initiateTag | 0, old)) return TRACK_INVALID;
  } else if (chunk === COOKIE_ACK) {
    record.fill(0, at + INIT_SEEN, at + INIT_SEEN + 2);
  }
  entry.state = next;
  if (next === ESTABLISHED && old !== ESTABLISHED) entry.status |= IPS_ASSURED;
  // A repeated INIT does not keep an entry alive for ever.
  if (chunk === INIT && !isNew && next === CLOSED && old === CLOSED) return TRACKED;
  conntrack.refresh(entry, info, skb, conntrack.settings.sctp[next] as number);
  return TRACKED;
}

function tagFits(chunk: number, tag: number, own: number, other: number): boolean {
  switch (chunk) {
    case INIT:
      return tag === 0;
    case ABORT:
    case SHUTDOWN_COMPLETE:
      return (tag | 0) === own || (tag | 0) === other;
    case COOKIE_ECHO:
    case DATA:
      return (tag | 0) === own;
    default:
      return OWN_TAG_RULE.includes(chunk) || (tag | 0) === own;
  }
}

/** INIT and INIT ACK say with which tag the other side has to answer. */
function noteTag(
  record: Int32Array,
  at: number,
  direction: Direction,
  chunk: number,
  initiateTag: number,
  state: number,
): boolean {
  const other = at + TAG + (1 - direction);
  const mine = at + INIT_SEEN + direction;
  const theirs = at + INIT_SEEN + (1 - direction);
  const known = record[other] as number;
  if (chunk === INIT) {
    // An INIT that says what is known already is a repeated one.
    if (state === NONE || known !== initiateTag) {
      if (record[mine] !== 0 && record[theirs] !== 0) record[theirs] = 0;
      record[mine] = 1;
    }
  } else {
    if (record[theirs] === 0 && known !== 0 && known !== initiateTag) return false;
    if (record[mine] !== 0 && record[theirs] !== 0 && known !== initiateTag) return false;
  }
  record[other] = initiateTag;
  return true;
}
