import type { IpAddress, IpFamily } from "@cnilab/net";
import type { ConntrackTable } from "./conntrack/conntrack-table.ts";

/** How a packet relates to its connection (`enum ip_conntrack_info`). */
export type ConntrackInfo = 0 | 1 | 2 | 3 | 4 | 7;
export const IP_CT_ESTABLISHED = 0;
export const IP_CT_RELATED = 1;
export const IP_CT_NEW = 2;
export const IP_CT_ESTABLISHED_REPLY = 3;
export const IP_CT_RELATED_REPLY = 4;
export const IP_CT_UNTRACKED = 7;

/** The two directions of a connection (`enum ip_conntrack_dir`). */
export type Direction = 0 | 1;
export const IP_CT_DIR_ORIGINAL = 0;
export const IP_CT_DIR_REPLY = 1;

/** In which direction of its connection a packet goes (`CTINFO2DIR`). */
export function directionOf(info: ConntrackInfo): Direction {
  return info >= IP_CT_ESTABLISHED_REPLY ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL;
}

// Bits of a connection's status (include/uapi/linux/netfilter/nf_conntrack_common.h)
export const IPS_EXPECTED: number = 1 << 0;
export const IPS_SEEN_REPLY: number = 1 << 1;
export const IPS_ASSURED: number = 1 << 2;
export const IPS_CONFIRMED: number = 1 << 3;
export const IPS_SRC_NAT: number = 1 << 4;
export const IPS_DST_NAT: number = 1 << 5;
export const IPS_NAT_MASK: number = IPS_SRC_NAT | IPS_DST_NAT;
export const IPS_SRC_NAT_DONE: number = 1 << 7;
export const IPS_DST_NAT_DONE: number = 1 << 8;
export const IPS_NAT_DONE_MASK: number = IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE;
export const IPS_DYING: number = 1 << 9;
export const IPS_FIXED_TIMEOUT: number = 1 << 10;
/** Lost the race for its original tuple; only its replies are known (`IPS_NAT_CLASH`). */
export const IPS_NAT_CLASH: number = 1 << 12;

/** One direction of a connection (`struct nf_conntrack_tuple`). */
export interface Tuple {
  readonly protocol: number;
  readonly src: IpAddress;
  readonly dst: IpAddress;
  /** For ICMP: the echo identifier. */
  readonly srcPort: number;
  /** For ICMP: type in the high byte, code in the low. */
  readonly dstPort: number;
}

/** Packets and bytes of one direction; kept where `nf_conntrack_acct` is on. */
export interface ConntrackCounter {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * One connection (`struct nf_conn`). A new one belongs to its packet alone and keeps its state here.
 * From its confirmation on the state is in the table, and this is a view of it, made for a packet or a
 * reader; other views of the same connection can exist. A view outlives its connection: it keeps the
 * tuples, and {@link status} says IPS_DYING.
 */
export class ConntrackEntry {
  /** As the first packet was sent. */
  readonly original: Tuple;
  #reply: Tuple;
  /** Zone of the original direction in the low 16 bits, of the reply direction in the high. */
  readonly zones: number;
  #table: ConntrackTable | undefined = undefined;
  #slot = -1;
  #id = 0;

  // What the table keeps once the connection is confirmed.
  #status = 0;
  #mark = 0;
  #state = 0;
  /** Milliseconds to live from the confirmation on. */
  #timeoutMs = 0;
  #streamTime = 0;
  #record: Int32Array | undefined = undefined;
  #masqueradeIndex = 0;
  #counters: Float64Array | undefined = undefined;
  /** NAT found no free port: its confirmation is going to fail. */
  tupleExhausted = false;

  constructor(original: Tuple, reply: Tuple, zones: number) {
    this.original = original;
    this.#reply = reply;
    this.zones = zones | 0;
  }

  /** A view of the connection in a slot of `table`. */
  static view(table: ConntrackTable, slot: number): ConntrackEntry {
    const entry = new ConntrackEntry(
      table.tuple(slot, IP_CT_DIR_ORIGINAL),
      table.tuple(slot, IP_CT_DIR_REPLY),
      table.zones(slot),
    );
    entry.attach(table, slot);
    return entry;
  }

  /** Called when the connection has its slot. */
  attach(table: ConntrackTable, slot: number): void {
    this.#table = table;
    this.#slot = slot;
    this.#id = table.id(slot);
    this.#status = table.status(slot);
    this.#mark = table.mark(slot);
    this.#state = table.state(slot);
    this.#record = undefined;
    this.#counters = undefined;
  }

  /** Where the table keeps it; -1 before the confirmation and after the end. */
  get slot(): number {
    const table = this.#table;
    return table !== undefined && table.id(this.#slot) === this.#id ? this.#slot : -1;
  }

  /** Distinguishes connections of one namespace, also those of the past; 0 before the confirmation. */
  get id(): number {
    return this.#id;
  }

  get family(): IpFamily {
    return typeof this.original.src === "number" ? 4 : 6;
  }

  get protocol(): number {
    return this.original.protocol;
  }

  /** As answers come, before NAT is undone. */
  get reply(): Tuple {
    return this.#reply;
  }

  tuple(direction: Direction): Tuple {
    return direction === IP_CT_DIR_ORIGINAL ? this.original : this.#reply;
  }

  /** NAT decides how answers will look (`nf_conntrack_alter_reply`); only before the confirmation. */
  alterReply(reply: Tuple): void {
    this.#reply = reply;
  }

  /** The zone of the original direction; 0 is the default zone. */
  get zone(): number {
    return this.zones & 0xffff;
  }

  /** The connection that an expected one belongs to; there are no helpers, so there is none. */
  get master(): ConntrackEntry | undefined {
    return undefined;
  }

  /** References, as `conntrack -L` prints them: the table's own. */
  get use(): number {
    return 1;
  }

  /** `IPS_…` bits. */
  get status(): number {
    const slot = this.slot;
    if (slot >= 0) return (this.#table as ConntrackTable).status(slot);
    return this.#id === 0 ? this.#status : this.#status | IPS_DYING;
  }

  set status(status: number) {
    this.#status = status;
    const slot = this.slot;
    if (slot >= 0) (this.#table as ConntrackTable).setStatus(slot, status);
  }

  get isConfirmed(): boolean {
    return (this.status & IPS_CONFIRMED) !== 0;
  }

  /** The connection mark, as an unsigned number. */
  get mark(): number {
    const slot = this.slot;
    return (slot >= 0 ? (this.#table as ConntrackTable).mark(slot) : this.#mark) >>> 0;
  }

  set mark(mark: number) {
    this.#mark = mark | 0;
    const slot = this.slot;
    if (slot >= 0) (this.#table as ConntrackTable).setMark(slot, mark);
  }

  /** The protocol's own state, as `enum tcp_conntrack` and `enum sctp_conntrack` number it. */
  get state(): number {
    const slot = this.slot;
    return slot >= 0 ? (this.#table as ConntrackTable).state(slot) : this.#state;
  }

  set state(state: number) {
    this.#state = state;
    const slot = this.slot;
    if (slot >= 0) (this.#table as ConntrackTable).setState(slot, state);
  }

  /** Milliseconds until it ends unless a packet comes; the whole timeout before the confirmation. */
  get remainingMs(): number {
    const slot = this.slot;
    if (slot >= 0) return (this.#table as ConntrackTable).remaining(slot);
    return this.#id === 0 ? this.#timeoutMs : 0;
  }

  /** Sets how long it lives from now (or from its confirmation) on. */
  set remainingMs(ms: number) {
    const slot = this.slot;
    if (slot >= 0) (this.#table as ConntrackTable).setRemaining(slot, ms);
    else this.#timeoutMs = ms;
  }

  /** UDP: the time from which on packets both ways make a stream; low 32 bits of milliseconds. */
  get streamTime(): number {
    const slot = this.slot;
    return slot >= 0 ? (this.#table as ConntrackTable).streamTime(slot) : this.#streamTime;
  }

  set streamTime(time: number) {
    this.#streamTime = time;
  }

  /** Words of the protocol's tracker, at {@link recordOffset}; made when first asked for. */
  get record(): Int32Array {
    const slot = this.slot;
    if (slot >= 0) return (this.#table as ConntrackTable).records;
    this.#record ??= new Int32Array(RECORD_WORDS);
    return this.#record;
  }

  get recordOffset(): number {
    const slot = this.slot;
    return slot >= 0 ? (this.#table as ConntrackTable).recordOffset(slot) : 0;
  }

  get hasRecord(): boolean {
    return this.#record !== undefined;
  }

  /** Index of the device that MASQUERADE sends it by; 0 for none. */
  get masqueradeIndex(): number {
    const slot = this.slot;
    return slot >= 0
      ? (this.#table as ConntrackTable).masqueradeIndex(slot)
      : this.#masqueradeIndex;
  }

  set masqueradeIndex(ifindex: number) {
    this.#masqueradeIndex = ifindex;
  }

  /** Packets and bytes of a direction; `undefined` where they are not counted. */
  counter(direction: Direction): ConntrackCounter | undefined {
    const slot = this.slot;
    if (slot >= 0) return (this.#table as ConntrackTable).counter(slot, direction);
    const counters = this.#counters;
    if (counters === undefined) return undefined;
    return {
      packets: counters[2 * direction] as number,
      bytes: counters[2 * direction + 1] as number,
    };
  }

  /** Counts a packet; only connections that began while accounting was on are counted. */
  count(direction: Direction, bytes: number, packets = 1): void {
    const slot = this.slot;
    if (slot >= 0) {
      (this.#table as ConntrackTable).addCount(slot, direction, packets, bytes);
    } else if (this.#counters !== undefined) {
      this.#counters[2 * direction] = (this.#counters[2 * direction] as number) + packets;
      this.#counters[2 * direction + 1] = (this.#counters[2 * direction + 1] as number) + bytes;
    }
  }

  /** Starts to count its packets. */
  startCounting(): void {
    this.#counters = new Float64Array(4);
  }

  /** A copy that does not change any more, for a trace. */
  snapshot(): ConntrackEntry {
    const copy = new ConntrackEntry(this.original, this.#reply, this.zones);
    copy.#status = this.status;
    copy.#mark = this.mark;
    copy.#state = this.state;
    copy.#timeoutMs = this.remainingMs;
    return copy;
  }
}

/** 32-bit words that a protocol's tracker may keep for a connection. */
export const RECORD_WORDS = 18;
