import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, type TcpSegment } from "@cnilab/net";
import { type Direction, IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY } from "../conntrack-entry.ts";
import {
  after,
  BE_LIBERAL,
  before,
  DATA_UNACKNOWLEDGED,
  END,
  FLAGS,
  LAST_ACK,
  LAST_DIRECTION,
  LAST_END,
  LAST_SEQ,
  LAST_WINDOW,
  MAX_ACK,
  MAX_END,
  MAX_WINDOW,
  MAXACK_SET,
  RETRANSMISSIONS,
  sender,
} from "./tcp-record.ts";

/** What the window check says; a text says why a segment is invalid. */
export type SegmentVerdict = typeof SEGMENT_ACCEPTED | typeof SEGMENT_IGNORED | string;
export const SEGMENT_ACCEPTED = 0;
/** Out of the window in a way that happens: it passes and changes nothing. */
export const SEGMENT_IGNORED = 1;

/** Bytes that an acknowledgement may be behind even where windows are small (`MAXACKWINCONST`). */
const MIN_ACK_WINDOW = 66_000;

/** The sequence number behind a segment; SYN and FIN count one each. */
export function segmentEnd({ seq, flags, payload }: TcpSegment): number {
  return (seq + payload.length + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0)) | 0;
}

/** How far the handshake of a connection is. */
export type Opening = typeof SYN_SENT | typeof SYN_RECEIVED | typeof NOT_OPENING;
export const NOT_OPENING = 0;
export const SYN_SENT = 1;
export const SYN_RECEIVED = 2;

/**
 * Whether a segment lies in the windows that conntrack has seen, and what it tells of them
 * (`tcp_in_window`). Segments have no window scale and no SACK in this model, so neither is followed.
 * One instance serves all segments, one after the other.
 */
export class TcpWindow {
  #record: Int32Array = new Int32Array(0);
  #at = 0;
  #direction: Direction = IP_CT_DIR_ORIGINAL;
  /** Where the words of the sender and of the other side begin. */
  #mine = 0;
  #theirs = 0;
  #seq = 0;
  #ack = 0;
  #end = 0;
  #window = 0;
  #flags = 0;

  /**
   * @param at where the connection's words begin in `record`
   * @param countsRepetitions a plain ACK
   * @param liberal nothing is invalid (`nf_conntrack_tcp_be_liberal`)
   */
  accept(
    segment: TcpSegment,
    record: Int32Array,
    at: number,
    direction: Direction,
    opening: Opening,
    countsRepetitions: boolean,
    liberal: boolean,
  ): SegmentVerdict {
    this.#record = record;
    this.#at = at;
    this.#direction = direction;
    this.#mine = sender(at, direction);
    this.#theirs = sender(at, direction === IP_CT_DIR_REPLY ? 0 : 1);
    this.#seq = segment.seq | 0;
    this.#ack = segment.ack | 0;
    this.#end = segmentEnd(segment);
    this.#window = segment.window;
    this.#flags = segment.flags;
    if (this.#begin(opening)) return SEGMENT_ACCEPTED;
    if (!this.#has(TCP_ACK) || (this.#has(TCP_RST) && this.#ack === 0)) {
      this.#ack = this.#their(END);
    }
    if (this.#has(TCP_RST) && this.#seq === 0 && opening === SYN_SENT) {
      // The answer to a SYN.
      this.#seq = this.#my(END);
      this.#end = this.#seq;
    }
    const verdict = this.#checkBounds();
    if (verdict !== SEGMENT_ACCEPTED) {
      const tolerated = liberal || (this.#my(FLAGS) & BE_LIBERAL) !== 0;
      return tolerated ? SEGMENT_ACCEPTED : verdict;
    }
    this.#noteSent();
    this.#noteReceived();
    if (countsRepetitions) this.#countRepetition();
    return SEGMENT_ACCEPTED;
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  #my(field: number): number {
    return this.#record[this.#mine + field] as number;
  }

  #their(field: number): number {
    return this.#record[this.#theirs + field] as number;
  }

  #setMine(field: number, value: number): void {
    this.#record[this.#mine + field] = value;
  }

  #setTheirs(field: number, value: number): void {
    this.#record[this.#theirs + field] = value;
  }

  /** Learns where a side starts. True where nothing more can be checked: both sides open at once. */
  #begin(opening: Opening): boolean {
    const syn = this.#has(TCP_SYN);
    if (this.#my(MAX_WINDOW) === 0) {
      if (!syn) {
        this.#joinMidway();
        return false;
      }
      this.#beginSender();
      return !this.#has(TCP_ACK);
    }
    if (!syn || opening === NOT_OPENING || !after(this.#end, this.#my(END))) return false;
    // A new attempt may have another sequence number.
    this.#beginSender();
    return this.#direction === IP_CT_DIR_REPLY && !this.#has(TCP_ACK);
  }

  /** A SYN tells where its sender starts (`tcp_init_sender`). */
  #beginSender(): void {
    this.#setMine(END, this.#end);
    this.#setMine(MAX_END, this.#end);
    this.#setMine(MAX_WINDOW, this.#window || 1);
  }

  /** The first segment of this side was not seen. */
  #joinMidway(): void {
    this.#setMine(END, this.#end);
    this.#setMine(MAX_WINDOW, this.#window || 1);
    this.#setMine(MAX_END, this.#end + this.#my(MAX_WINDOW));
    if (this.#their(MAX_WINDOW) === 0) {
      this.#setTheirs(END, this.#ack);
      this.#setTheirs(MAX_END, this.#ack);
    } else if (this.#ack === ((this.#their(END) + 1) | 0)) {
      this.#setTheirs(END, this.#ack); // the answer to a keepalive
    }
  }

  #checkBounds(): SegmentVerdict {
    const end = this.#end;
    const oldest = this.#their(END) - Math.max(this.#my(MAX_WINDOW), MIN_ACK_WINDOW);
    const received = this.#their(MAX_WINDOW);
    const inWindow = received === 0 || after(end, (this.#my(END) - received - 1) | 0);
    const ackNotLate = after(this.#ack, (oldest - 1) | 0);
    const ackNotEarly = before(this.#ack, (this.#their(END) + 1) | 0);
    if (!before(this.#seq, (this.#my(MAX_END) + 1) | 0)) {
      const overshot = (end - this.#my(MAX_END) + 1) >>> 0;
      if (received === 0 || !inWindow || overshot > received || !ackNotLate || !ackNotEarly) {
        return "TCP SEQ is over the window of the receiver";
      }
      // More was sent than was allowed: an acknowledgement of it will be right.
      this.#setMine(END, end);
      this.#setMine(FLAGS, this.#my(FLAGS) | DATA_UNACKNOWLEDGED);
      return SEGMENT_IGNORED;
    }
    if (!ackNotEarly) return "TCP ACK is over what was sent";
    // Acknowledged data once more, or a late acknowledgement.
    return inWindow && ackNotLate ? SEGMENT_ACCEPTED : SEGMENT_IGNORED;
  }

  #noteSent(): void {
    if (this.#my(MAX_WINDOW) < this.#window) this.#setMine(MAX_WINDOW, this.#window);
    if (after(this.#end, this.#my(END))) {
      this.#setMine(END, this.#end);
      this.#setMine(FLAGS, this.#my(FLAGS) | DATA_UNACKNOWLEDGED);
    }
    if (!this.#has(TCP_ACK)) return;
    if ((this.#my(FLAGS) & MAXACK_SET) === 0) {
      this.#setMine(MAX_ACK, this.#ack);
      this.#setMine(FLAGS, this.#my(FLAGS) | MAXACK_SET);
    } else if (after(this.#ack, this.#my(MAX_ACK))) {
      this.#setMine(MAX_ACK, this.#ack);
    }
  }

  #noteReceived(): void {
    const over = (this.#end - this.#my(MAX_END)) | 0;
    if (this.#their(MAX_WINDOW) !== 0 && over > 0) {
      this.#setTheirs(MAX_WINDOW, this.#their(MAX_WINDOW) + over);
    }
    const limit = (this.#ack + this.#window) | 0;
    if (after(limit, (this.#their(MAX_END) - 1) | 0)) {
      this.#setTheirs(MAX_END, this.#window === 0 ? limit + 1 : limit);
    }
    if (this.#ack === this.#their(END)) {
      this.#setTheirs(FLAGS, this.#their(FLAGS) & ~DATA_UNACKNOWLEDGED);
    }
  }

  #countRepetition(): void {
    const record = this.#record;
    const at = this.#at;
    if (
      record[at + LAST_DIRECTION] === this.#direction &&
      record[at + LAST_SEQ] === this.#seq &&
      record[at + LAST_ACK] === this.#ack &&
      record[at + LAST_END] === this.#end &&
      record[at + LAST_WINDOW] === this.#window
    ) {
      record[at + RETRANSMISSIONS] = (record[at + RETRANSMISSIONS] as number) + 1;
      return;
    }
    record[at + LAST_DIRECTION] = this.#direction;
    record[at + LAST_SEQ] = this.#seq;
    record[at + LAST_ACK] = this.#ack;
    record[at + LAST_END] = this.#end;
    record[at + LAST_WINDOW] = this.#window;
    record[at + RETRANSMISSIONS] = 0;
  }
}
