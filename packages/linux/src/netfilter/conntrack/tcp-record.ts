import type { Direction } from "../conntrack-entry.ts";

// What conntrack knows of a TCP connection besides its state (`struct ip_ct_tcp`), as words of the
// connection's record. Five words for each side as a sender, then what the last segment was.
const SENDER_WORDS = 5;
/** Sequence number behind the last byte that it sent. */
export const END = 0;
/** Sequence number behind the last byte that it may send: what the other side acknowledged and its window. */
export const MAX_END = 1;
/** Largest window that it offered. */
export const MAX_WINDOW = 2;
/** Highest acknowledgement that it sent. */
export const MAX_ACK = 3;
/** `CLOSE_INIT` and so on. */
export const FLAGS = 4;

/** Kind of the last segment; NONE_SET before the first. */
export const LAST_INDEX = 10;
export const LAST_DIRECTION = 11;
export const LAST_SEQ = 12;
export const LAST_ACK = 13;
export const LAST_END = 14;
export const LAST_WINDOW = 15;
/** How often the last segment came again. */
export const RETRANSMISSIONS = 16;
export const LAST_FLAGS = 17;

// Flags of a side (include/uapi/linux/netfilter/nf_conntrack_tcp.h)
/** It sent the first FIN. */
export const CLOSE_INIT = 0x04;
/** Its windows are not checked. */
export const BE_LIBERAL = 0x08;
/** It has sent what nobody has acknowledged yet. */
export const DATA_UNACKNOWLEDGED = 0x10;
export const MAXACK_SET = 0x20;
// Flags of LAST_FLAGS
export const EXPECT_CHALLENGE_ACK = 0x40;
export const SIMULTANEOUS_OPEN = 0x80;

/** Where the words of one side begin. */
export function sender(at: number, direction: Direction): number {
  return at + SENDER_WORDS * direction;
}

/** Whether sequence number `x` is before `y`, modulo 2^32. */
export function before(x: number, y: number): boolean {
  return ((x - y) | 0) < 0;
}

export function after(x: number, y: number): boolean {
  return ((y - x) | 0) < 0;
}
