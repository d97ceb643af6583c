import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG, TcpSegment } from "@cnilab/net";
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
  IPS_FIXED_TIMEOUT,
  IPS_SEEN_REPLY,
  RECORD_WORDS,
} from "../conntrack-entry.ts";
import type { ConntrackSettings } from "./conntrack-settings.ts";
import {
  BE_LIBERAL,
  before,
  CLOSE_INIT,
  DATA_UNACKNOWLEDGED,
  END,
  EXPECT_CHALLENGE_ACK,
  FLAGS,
  LAST_ACK,
  LAST_DIRECTION,
  LAST_END,
  LAST_FLAGS,
  LAST_INDEX,
  LAST_SEQ,
  LAST_WINDOW,
  MAX_ACK,
  MAX_END,
  MAX_WINDOW,
  MAXACK_SET,
  RETRANSMISSIONS,
  SIMULTANEOUS_OPEN,
  sender,
} from "./tcp-record.ts";
import {
  NOT_OPENING,
  SEGMENT_ACCEPTED,
  SEGMENT_IGNORED,
  SYN_RECEIVED,
  SYN_SENT,
  segmentEnd,
  TcpWindow,
} from "./tcp-window.ts";
import { TRACK_AGAIN, TRACK_INVALID, TRACKED, type Tracked } from "./tracker.ts";

// `enum tcp_conntrack`
export const TCP_CONNTRACK_NONE = 0;
export const TCP_CONNTRACK_SYN_SENT = 1;
export const TCP_CONNTRACK_SYN_RECV = 2;
export const TCP_CONNTRACK_ESTABLISHED = 3;
export const TCP_CONNTRACK_FIN_WAIT = 4;
export const TCP_CONNTRACK_CLOSE_WAIT = 5;
export const TCP_CONNTRACK_LAST_ACK = 6;
export const TCP_CONNTRACK_TIME_WAIT = 7;
export const TCP_CONNTRACK_CLOSE = 8;
export const TCP_CONNTRACK_SYN_SENT2 = 9;
const IGNORE = 10;
const INVALID = 11;

/** States by number, as `conntrack -L` prints them. */
export const TCP_STATES: readonly string[] = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2",
];

// What of SYN, FIN, ACK and RST a segment has (`enum tcp_bit_set`)
const SYN_SET = 0;
const SYNACK_SET = 1;
const FIN_SET = 2;
const ACK_SET = 3;
const RST_SET = 4;
const NONE_SET = 5;

/** A letter for each state in order, then `i` for "changes nothing" and `!` for "invalid". */
const LETTERS = "-srefcltx2i!";

/**
 * The next state by direction, kind of segment and state before, the states in their order
 * (net/netfilter/nf_conntrack_proto_tcp.c tcp_conntracks).
 */
const TRANSITIONS: readonly Uint8Array[][] = [
  // -srefcltx2 is the state before
  ["ssiiiiiss2", "!!r!!!!!!r", "!!ffllltx!", "e!eeccttx!", "!xxxxxxxxx", "!!!!!!!!!!"],
  ["!2!!!!!s!2", "!riiiiiiir", "!!ffllltx!", "!ireccttxi", "!xxxxxxxxx", "!!!!!!!!!!"],
].map((rows) => rows.map((row) => Uint8Array.from(row, (letter) => LETTERS.indexOf(letter))));

function nextState(direction: Direction, index: number, state: number): number {
  const row = (TRANSITIONS[direction] as Uint8Array[])[index] as Uint8Array;
  return row[state] as number;
}

/** Combinations that a whole segment may have; PSH does not count (tcp_valid_flags). */
const VALID_FLAGS: readonly number[] = [
  TCP_SYN,
  TCP_SYN | TCP_URG,
  TCP_SYN | TCP_ACK,
  TCP_RST,
  TCP_RST | TCP_ACK,
  TCP_FIN | TCP_ACK,
  TCP_FIN | TCP_ACK | TCP_URG,
  TCP_ACK,
  TCP_ACK | TCP_URG,
];

/** `get_conntrack_index` */
function segmentIndex(flags: number): number {
  if (flags & TCP_RST) return RST_SET;
  if (flags & TCP_SYN) return flags & TCP_ACK ? SYNACK_SET : SYN_SET;
  if (flags & TCP_FIN) return FIN_SET;
  return flags & TCP_ACK ? ACK_SET : NONE_SET;
}

const tcpWindow = new TcpWindow();

/** TCP: the state machine and the windows (net/netfilter/nf_conntrack_proto_tcp.c). */
export function trackTcp(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
): Tracked {
  const segment = skb.ip.payload;
  if (!(segment instanceof TcpSegment)) return TRACK_INVALID;
  conntrack.unrepeatable();
  if (!VALID_FLAGS.includes(segment.flags & ~TCP_PSH)) {
    return conntrack.invalid("TCP flags do not go together");
  }
  const { settings } = conntrack;
  const isNew = !entry.isConfirmed;
  if (isNew && !beginTcp(entry, segment, settings.tcpLoose)) {
    return conntrack.invalid("TCP segment begins no connection");
  }
  const direction = directionOf(info);
  const index = segmentIndex(segment.flags);
  const old = entry.state;
  let next = nextState(direction, index, old);
  const { record } = entry;
  const at = entry.recordOffset;
  let checked = false;
  switch (next) {
    case TCP_CONNTRACK_SYN_SENT:
      if (old < TCP_CONNTRACK_TIME_WAIT) break;
      if (mayReopen(record, at, direction)) {
        conntrack.end(entry);
        return TRACK_AGAIN;
      }
      next = IGNORE;
      break;
    case INVALID:
      return conntrack.invalid(
        `TCP ${INDEX_NAMES[index]} ${direction === 0 ? "" : "in reply "}in ${TCP_STATES[old]}`,
      );
    case TCP_CONNTRACK_TIME_WAIT:
      if (isChallengeAck(record, at, direction, index, old)) return TRACKED;
      break;
    case TCP_CONNTRACK_SYN_SENT2:
      record[at + LAST_FLAGS] = (record[at + LAST_FLAGS] as number) | SIMULTANEOUS_OPEN;
      break;
    case TCP_CONNTRACK_SYN_RECV:
      if (
        direction === IP_CT_DIR_REPLY &&
        index === ACK_SET &&
        ((record[at + LAST_FLAGS] as number) & SIMULTANEOUS_OPEN) !== 0
      ) {
        next = TCP_CONNTRACK_ESTABLISHED;
      }
      break;
    case TCP_CONNTRACK_CLOSE: {
      if (index !== RST_SET) break;
      const reset = judgeReset(record, at, direction, segment, old, entry.status, settings);
      if (reset === RESET_INVALID) return conntrack.invalid("TCP RST before what was acknowledged");
      if (reset === RESET_UNSURE) next = old;
      checked = reset === RESET_CERTAIN;
      break;
    }
  }
  let before = old;
  if (next === IGNORE) {
    if (!synchronises(record, at, direction, index, segment)) {
      noteIgnored(record, at, direction, index, segment, old);
      return TRACKED;
    }
    before = TCP_CONNTRACK_SYN_SENT;
    next = TCP_CONNTRACK_SYN_RECV;
  }
  if (!checked) {
    const opening =
      old === TCP_CONNTRACK_SYN_SENT
        ? SYN_SENT
        : old === TCP_CONNTRACK_SYN_RECV
          ? SYN_RECEIVED
          : NOT_OPENING;
    const verdict = tcpWindow.accept(
      segment,
      record,
      at,
      direction,
      opening,
      index === ACK_SET,
      settings.tcpLiberal,
    );
    if (verdict === SEGMENT_IGNORED) return TRACKED;
    if (verdict !== SEGMENT_ACCEPTED) {
      lowerTimeout(entry, record, at, direction, index, settings);
      return conntrack.invalid(verdict);
    }
  }
  record[at + LAST_INDEX] = index;
  record[at + LAST_DIRECTION] = direction;
  entry.state = next;
  if (before !== next && next === TCP_CONNTRACK_FIN_WAIT) {
    const flags = sender(at, direction) + FLAGS;
    record[flags] = (record[flags] as number) | CLOSE_INIT;
  }
  return settle(conntrack, entry, skb, info, index, before, next);
}

const INDEX_NAMES = ["SYN", "SYN/ACK", "FIN", "ACK", "RST", "segment without flags"];

/** What the first segment tells (`tcp_new`). False where it begins no connection. */
function beginTcp(entry: ConntrackEntry, segment: TcpSegment, loose: boolean): boolean {
  const index = segmentIndex(segment.flags);
  const first = nextState(IP_CT_DIR_ORIGINAL, index, TCP_CONNTRACK_NONE);
  if (first === INVALID) return false;
  const isSyn = first === TCP_CONNTRACK_SYN_SENT;
  if (!isSyn && !loose) return false;
  const { record } = entry;
  record.fill(0, 0, RECORD_WORDS);
  record[END] = segmentEnd(segment);
  record[MAX_WINDOW] = segment.window || 1;
  record[MAX_END] = (record[END] as number) + (isSyn ? 0 : (record[MAX_WINDOW] as number));
  if (!isSyn) {
    // Picked up midway: nobody knows the windows.
    record[FLAGS] = BE_LIBERAL;
    record[sender(0, IP_CT_DIR_REPLY) + FLAGS] = BE_LIBERAL;
  }
  record[LAST_INDEX] = NONE_SET;
  entry.state = TCP_CONNTRACK_NONE;
  return true;
}

/** A SYN after the end: the old connection was closed in order, or the client has given it up. */
function mayReopen(record: Int32Array, at: number, direction: Direction): boolean {
  const flags =
    (record[sender(at, IP_CT_DIR_ORIGINAL) + FLAGS] as number) |
    (record[sender(at, IP_CT_DIR_REPLY) + FLAGS] as number);
  if ((flags & CLOSE_INIT) !== 0) return true;
  return record[at + LAST_DIRECTION] === direction && record[at + LAST_INDEX] === RST_SET;
}

/** An ACK that answers a SYN which was let through is not the last one (RFC 5961). */
function isChallengeAck(
  record: Int32Array,
  at: number,
  direction: Direction,
  index: number,
  old: number,
): boolean {
  const lastFlags = record[at + LAST_FLAGS] as number;
  if (
    old !== TCP_CONNTRACK_LAST_ACK ||
    index !== ACK_SET ||
    record[at + LAST_DIRECTION] === direction ||
    record[at + LAST_INDEX] !== SYN_SET ||
    (lastFlags & EXPECT_CHALLENGE_ACK) === 0
  ) {
    return false;
  }
  record[at + LAST_FLAGS] = lastFlags & ~EXPECT_CHALLENGE_ACK;
  return true;
}

/** Whether a SYN ACK answers a SYN that was ignored: the ends are in step, and conntrack joins them. */
function synchronises(
  record: Int32Array,
  at: number,
  direction: Direction,
  index: number,
  segment: TcpSegment,
): boolean {
  const lastDirection = record[at + LAST_DIRECTION] as Direction;
  const lastEnd = record[at + LAST_END] as number;
  if (
    index !== SYNACK_SET ||
    record[at + LAST_INDEX] !== SYN_SET ||
    lastDirection === direction ||
    (segment.ack | 0) !== lastEnd
  ) {
    return false;
  }
  const peer = sender(at, lastDirection);
  record[peer + END] = lastEnd;
  record[peer + MAX_END] = lastEnd;
  record[peer + MAX_WINDOW] = (record[at + LAST_WINDOW] as number) || 1;
  record[at + LAST_FLAGS] = (record[at + LAST_FLAGS] as number) & ~EXPECT_CHALLENGE_ACK;
  record[peer + FLAGS] = record[at + LAST_FLAGS] as number;
  const own = sender(at, direction);
  const liberal = (record[own + FLAGS] as number) & BE_LIBERAL;
  record.fill(0, own, own + FLAGS);
  record[own + FLAGS] = liberal;
  return true;
}

/** Remembers a segment that may be part of a connection which conntrack has not followed. */
function noteIgnored(
  record: Int32Array,
  at: number,
  direction: Direction,
  index: number,
  segment: TcpSegment,
  old: number,
): void {
  record[at + LAST_INDEX] = index;
  record[at + LAST_DIRECTION] = direction;
  record[at + LAST_SEQ] = segment.seq;
  record[at + LAST_END] = segmentEnd(segment);
  record[at + LAST_WINDOW] = segment.window;
  if (index === SYN_SET && direction === IP_CT_DIR_ORIGINAL) {
    record[at + LAST_FLAGS] = old === TCP_CONNTRACK_LAST_ACK ? EXPECT_CHALLENGE_ACK : 0;
  }
  // Perhaps a challenge ACK in answer to a SYN.
  if (old === TCP_CONNTRACK_SYN_SENT && index === ACK_SET && direction === IP_CT_DIR_REPLY) {
    record[at + LAST_ACK] = segment.ack;
  }
}

// What a RST is worth
/** It closes the connection if it lies in the window. */
const RESET_TO_CHECK = 0;
/** It closes the connection. */
const RESET_CERTAIN = 1;
/** It may be a blind one: the connection goes on, for the other side may challenge it. */
const RESET_UNSURE = 2;
const RESET_INVALID = 3;

function judgeReset(
  record: Int32Array,
  at: number,
  direction: Direction,
  segment: TcpSegment,
  old: number,
  status: number,
  settings: ConntrackSettings,
): number {
  if (mayEndEarly(old)) return RESET_CERTAIN;
  const lastIndex = record[at + LAST_INDEX];
  const lastDirection = record[at + LAST_DIRECTION];
  const established = old === TCP_CONNTRACK_ESTABLISHED;
  const peer = sender(at, direction === IP_CT_DIR_REPLY ? 0 : 1);
  const seq = segment.seq | 0;
  const maxAck = record[peer + MAX_ACK] as number;
  if (((record[peer + FLAGS] as number) & MAXACK_SET) !== 0 && lastIndex !== SYN_SET) {
    if (seq === 0 && !established) return RESET_TO_CHECK; // the answer to a SYN
    if (before(seq, maxAck) && !settings.tcpIgnoreInvalidRst) return RESET_INVALID;
    if (!established || seq === maxAck) return RESET_TO_CHECK;
    const followsOwnData =
      lastIndex === ACK_SET && lastDirection === direction && seq === record[at + LAST_END];
    if (followsOwnData) return RESET_TO_CHECK;
    return RESET_UNSURE;
  }
  // An answer to a SYN or an ACK that was let through.
  const answers =
    ((status & IPS_SEEN_REPLY) !== 0 && lastIndex === SYN_SET && lastDirection !== direction) ||
    ((status & IPS_ASSURED) === 0 && lastIndex === ACK_SET);
  if (answers && (segment.ack | 0) === record[at + LAST_END]) return RESET_CERTAIN;
  const answersChallenge =
    old === TCP_CONNTRACK_SYN_SENT &&
    lastIndex === ACK_SET &&
    lastDirection === IP_CT_DIR_REPLY &&
    seq === record[at + LAST_ACK];
  return answersChallenge ? RESET_CERTAIN : RESET_TO_CHECK;
}

/** Whether a connection in this state may go when the table is full (`tcp_can_early_drop`). */
function mayEndEarly(state: number): boolean {
  return state >= TCP_CONNTRACK_FIN_WAIT && state <= TCP_CONNTRACK_CLOSE;
}

/**
 * FIN or RST out of the window from both sides: the connection is over whatever conntrack thinks, and
 * must not stay for days (`nf_tcp_handle_invalid`).
 */
function lowerTimeout(
  entry: ConntrackEntry,
  record: Int32Array,
  at: number,
  direction: Direction,
  index: number,
  settings: ConntrackSettings,
): void {
  const { status } = entry;
  if ((status & IPS_ASSURED) === 0 || (status & IPS_FIXED_TIMEOUT) !== 0) return;
  if (index !== RST_SET && index !== FIN_SET) return;
  const last = record[at + LAST_INDEX];
  if (record[at + LAST_DIRECTION] !== direction && (last === FIN_SET || last === RST_SET)) {
    const { remainingMs } = entry;
    if (remainingMs >= 120_000 && remainingMs > settings.tcpUnacknowledged) {
      entry.remainingMs = settings.tcpUnacknowledged;
    }
  } else {
    record[at + LAST_INDEX] = index;
    record[at + LAST_DIRECTION] = direction;
  }
}

/** How long the connection lives from here on, and whether it counts as assured. */
function settle(
  conntrack: Conntrack,
  entry: ConntrackEntry,
  skb: Skb,
  info: ConntrackInfo,
  index: number,
  old: number,
  next: number,
): Tracked {
  const { settings } = conntrack;
  const { status } = entry;
  let timeout = timeoutOf(entry, index, next, settings);
  if ((status & IPS_SEEN_REPLY) === 0) {
    if (index === RST_SET) {
      // Nothing but a RST came back: there was no connection.
      conntrack.end(entry);
      return TRACKED;
    }
    // A repeated SYN does not keep an entry alive for ever.
    if (index === SYN_SET && old === TCP_CONNTRACK_SYN_SENT) return TRACKED;
    if (next === TCP_CONNTRACK_ESTABLISHED) {
      timeout = Math.min(timeout, settings.tcpUnacknowledged);
    }
  } else if (
    (status & IPS_ASSURED) === 0 &&
    (old === TCP_CONNTRACK_SYN_RECV || old === TCP_CONNTRACK_ESTABLISHED) &&
    next === TCP_CONNTRACK_ESTABLISHED
  ) {
    entry.status = status | IPS_ASSURED;
  }
  conntrack.refresh(entry, info, skb, timeout);
  return TRACKED;
}

function timeoutOf(
  entry: ConntrackEntry,
  index: number,
  state: number,
  settings: ConntrackSettings,
): number {
  const { record } = entry;
  const at = entry.recordOffset;
  const usual = settings.tcp[state] as number;
  const retransmission = Math.min(usual, settings.tcpRetransmission);
  if ((record[at + RETRANSMISSIONS] as number) >= settings.tcpMaxRetransmissions) {
    if (retransmission < usual) return retransmission;
  }
  if (index === RST_SET) return settings.tcp[TCP_CONNTRACK_CLOSE] as number;
  const flags =
    (record[sender(at, IP_CT_DIR_ORIGINAL) + FLAGS] as number) |
    (record[sender(at, IP_CT_DIR_REPLY) + FLAGS] as number);
  if ((flags & DATA_UNACKNOWLEDGED) !== 0 && settings.tcpUnacknowledged < usual) {
    return settings.tcpUnacknowledged;
  }
  return record[at + LAST_WINDOW] === 0 ? retransmission : usual;
}
