import type { VirtualClock } from "@cnilab/core";
import { type IpAddress, Ipv6Address } from "@cnilab/net";
import type { FlowCondition } from "../../flow-cache.ts";
import {
  type ConntrackCounter,
  ConntrackEntry,
  type Direction,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_NAT_CLASH,
  IPS_SRC_NAT_DONE,
  RECORD_WORDS,
  type Tuple,
} from "../conntrack-entry.ts";
import { makeTuple } from "./conntrack-tuple.ts";

// A connection is 16 words of 32 bits: one cache line. The tuple of the reply direction stands
// TUPLE_WORDS behind the original's, the link of its hash chain one word behind.
const STRIDE = 16;
const TUPLE_WORDS = 3;
const SRC = 0;
const DST = 1;
const PORTS = 2;
const NEXT = 6;
const NEXT_BY_SOURCE = 8;
/** Status (16 bits), protocol (8), the protocol's state (4), whether it is IPv6 (1). */
const STATE = 9;
const ZONES = 10;
const MARK = 11;
/** When it ends: low 32 bits of virtual milliseconds, as the kernel keeps jiffies. */
const TIMEOUT = 12;
/** UDP: the time when it becomes a stream. TCP and SCTP: number of the record, counted from 1. */
const L4 = 13;
/** 0 for a free slot. */
const ID = 14;
const MASQUERADE = 15;

const STATUS_MASK = 0xffff;
const KIND_MASK = 0x10ff0000;
const STATE_SHIFT = 24;
const STATE_MASK = 0x0f000000;

const INITIAL_SLOTS = 16;
/** Views of recent connections: packets of one flow share theirs. */
const VIEWS = 64;
/**
 * Buckets that are searched for a connection to give up (`NF_CT_EVICTION_RANGE`), where there are as
 * many buckets as connections: the kernel's default for a full table.
 */
const EVICTION_RANGE = 8;

/** What a lookup compares besides addresses and ports: protocol and family. */
export function tupleKind(protocol: number, isIpv6: boolean): number {
  return (protocol << 16) | (isIpv6 ? 0x10000000 : 0);
}

/** 32 bits that stand for an address of a family. */
export function addressWord(address: IpAddress): number {
  return typeof address === "number" ? address | 0 : address.ordinal;
}

/** A bucket's choice for a tuple; zones keep equal tuples apart. */
export function hashTuple(
  src: number,
  dst: number,
  ports: number,
  kind: number,
  zone: number,
): number {
  let h = Math.imul(src ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ dst, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ ports, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 16) ^ kind ^ zone, 0x165667b1);
  return h ^ (h >>> 15);
}

/**
 * The connections of one namespace and their two hashes, by tuple and by source, on typed arrays:
 * 76 bytes a connection where the table is full, 72 more for TCP and SCTP. Chains link *nodes*: a slot
 * and a direction in one number, `slot * 2 + direction`.
 */
export class ConntrackTable {
  readonly #clock: VirtualClock;
  #words = new Int32Array(0);
  /** First node of each chain plus 1; as many chains as nodes. */
  #buckets = new Int32Array(0);
  /** Number of chains minus 1; their number is a power of two. */
  #mask = 0;
  /** First slot plus 1 of those with one original source. */
  #bySource = new Int32Array(0);
  #slots = 0;
  #used = 0;
  /** First free slot plus 1; the next ones follow in their NEXT word. */
  #free = 0;
  #nextId = 1;
  /** Words of TCP's and SCTP's trackers. */
  records: Int32Array = new Int32Array(0);
  #freeRecord = 0;
  #recordCount = 0;
  /** Packets and bytes per node; made when accounting is first on. */
  #counters: Float64Array | undefined;
  readonly #views: (ConntrackEntry | undefined)[] = [];
  /** Of connections that cached flows rely on. */
  readonly #conditions = new Map<number, FlowCondition>();
  /** Called before a connection that a cached flow relies on changes, to settle what is pending. */
  readonly #settle: () => void;

  constructor(clock: VirtualClock, settle: () => void) {
    this.#clock = clock;
    this.#settle = settle;
  }

  /** Connections, also such that have ended and are not collected yet. */
  get count(): number {
    return this.#used;
  }

  /** Slots, used or not: a walk over all goes from 0 to here. */
  get slots(): number {
    return this.#slots;
  }

  /** Bytes that the table takes. */
  get byteLength(): number {
    return (
      this.#words.byteLength +
      this.#buckets.byteLength +
      this.#bySource.byteLength +
      this.records.byteLength +
      (this.#counters?.byteLength ?? 0)
    );
  }

  /** Virtual milliseconds as connections keep them (`nfct_time_stamp`). */
  get now(): number {
    return Math.floor(this.#clock.now) | 0;
  }

  // What a slot holds

  isUsed(slot: number): boolean {
    return this.#words[slot * STRIDE + ID] !== 0;
  }

  id(slot: number): number {
    return this.#words[slot * STRIDE + ID] as number;
  }

  status(slot: number): number {
    return (this.#words[slot * STRIDE + STATE] as number) & STATUS_MASK;
  }

  setStatus(slot: number, status: number): void {
    const at = slot * STRIDE + STATE;
    const old = this.#words[at] as number;
    const changed = (old & ~STATUS_MASK) | status;
    if (changed === old) return;
    this.#changes(slot);
    this.#words[at] = changed;
  }

  state(slot: number): number {
    return ((this.#words[slot * STRIDE + STATE] as number) & STATE_MASK) >>> STATE_SHIFT;
  }

  setState(slot: number, state: number): void {
    const at = slot * STRIDE + STATE;
    this.#words[at] = ((this.#words[at] as number) & ~STATE_MASK) | (state << STATE_SHIFT);
  }

  protocol(slot: number): number {
    return ((this.#words[slot * STRIDE + STATE] as number) >>> 16) & 0xff;
  }

  isIpv6(slot: number): boolean {
    return ((this.#words[slot * STRIDE + STATE] as number) & 0x10000000) !== 0;
  }

  zones(slot: number): number {
    return this.#words[slot * STRIDE + ZONES] as number;
  }

  mark(slot: number): number {
    return this.#words[slot * STRIDE + MARK] as number;
  }

  setMark(slot: number, mark: number): void {
    const at = slot * STRIDE + MARK;
    if (this.#words[at] === (mark | 0)) return;
    this.#changes(slot);
    this.#words[at] = mark;
  }

  streamTime(slot: number): number {
    return this.#words[slot * STRIDE + L4] as number;
  }

  recordOffset(slot: number): number {
    return ((this.#words[slot * STRIDE + L4] as number) - 1) * RECORD_WORDS;
  }

  masqueradeIndex(slot: number): number {
    return this.#words[slot * STRIDE + MASQUERADE] as number;
  }

  /** Milliseconds until a connection ends; 0 or less once it has. */
  remaining(slot: number): number {
    return ((this.#words[slot * STRIDE + TIMEOUT] as number) - this.now) | 0;
  }

  setRemaining(slot: number, ms: number): void {
    this.setEnd(slot, (this.now + ms) | 0);
  }

  /** @param end low 32 bits of the virtual millisecond at which it ends */
  setEnd(slot: number, end: number): void {
    this.#words[slot * STRIDE + TIMEOUT] = end;
  }

  isExpired(slot: number): boolean {
    return this.remaining(slot) <= 0;
  }

  /** The address that a tuple's source or destination word stands for. */
  #address(slot: number, offset: number): IpAddress {
    const word = this.#words[slot * STRIDE + offset] as number;
    return this.isIpv6(slot) ? Ipv6Address.at(word) : word >>> 0;
  }

  tuple(slot: number, direction: Direction): Tuple {
    const offset = TUPLE_WORDS * direction;
    const ports = this.#words[slot * STRIDE + offset + PORTS] as number;
    const src = this.#address(slot, offset + SRC);
    return makeTuple(this.protocol(slot), src, this.#address(slot, offset + DST), ports);
  }

  counter(slot: number, direction: Direction): ConntrackCounter | undefined {
    const counters = this.#counters;
    // Its first packet was counted when the connection began, or nothing ever will be.
    if (counters === undefined || counters[slot * 4] === 0) return undefined;
    const at = slot * 4 + direction * 2;
    return { packets: counters[at] as number, bytes: counters[at + 1] as number };
  }

  addCount(slot: number, direction: Direction, packets: number, bytes: number): void {
    const counters = this.#counters;
    if (counters === undefined || counters[slot * 4] === 0) return;
    const at = slot * 4 + direction * 2;
    counters[at] = (counters[at] as number) + packets;
    counters[at + 1] = (counters[at + 1] as number) + bytes;
  }

  /** The connection in a slot. Packets of one flow get the same view as long as others leave it room. */
  entry(slot: number): ConntrackEntry {
    const at = slot % VIEWS;
    const known = this.#views[at];
    if (known !== undefined && known.slot === slot) return known;
    const entry = ConntrackEntry.view(this, slot);
    this.#views[at] = entry;
    return entry;
  }

  // Lookup

  /**
   * The node of a tuple (`____nf_conntrack_find`), or -1. Removes what has ended and stands in its way.
   * @param hashZone the zone by which the tuple is hashed
   * @param zones the zones of both directions, of which the found direction's must be equal
   */
  find(
    src: number,
    dst: number,
    ports: number,
    kind: number,
    hashZone: number,
    zones: number,
  ): number {
    if (this.#used === 0) return -1;
    const bucket = hashTuple(src, dst, ports, kind, hashZone) & this.#mask;
    const words = this.#words;
    let node = (this.#buckets[bucket] as number) - 1;
    while (node >= 0) {
      const base = (node >>> 1) * STRIDE;
      const direction = node & 1;
      const at = base + direction * TUPLE_WORDS;
      if (
        words[at + SRC] === src &&
        words[at + DST] === dst &&
        words[at + PORTS] === ports &&
        ((words[base + STATE] as number) & KIND_MASK) === kind &&
        zoneOf(words[base + ZONES] as number, direction) === zoneOf(zones, direction)
      ) {
        if (!this.isExpired(node >>> 1)) return node;
        this.remove(node >>> 1);
        node = (this.#buckets[bucket] as number) - 1;
      } else {
        node = (words[base + NEXT + direction] as number) - 1;
      }
    }
    return -1;
  }

  /**
   * Whether a reply tuple belongs to another connection (`nf_conntrack_tuple_taken`). One with the very
   * same original tuple is the same flow and does not count: the confirmation deals with it.
   */
  isTaken(src: number, dst: number, ports: number, by: ConntrackEntry): boolean {
    const kind = tupleKind(by.protocol, by.family === 6);
    const node = this.find(src, dst, ports, kind, by.zones >>> 16, by.zones);
    if (node < 0) return false;
    const base = (node >>> 1) * STRIDE;
    const words = this.#words;
    const { original } = by;
    return !(
      words[base + SRC] === addressWord(original.src) &&
      words[base + DST] === addressWord(original.dst) &&
      words[base + PORTS] === ((original.srcPort << 16) | original.dstPort) &&
      ((words[base + ZONES] as number) & 0xffff) === by.zone
    );
  }

  /** The node of one of an entry's own tuples, where another connection has it already. */
  findTuple(entry: ConntrackEntry, direction: Direction): number {
    const { src, dst, srcPort, dstPort, protocol } = entry.tuple(direction);
    return this.find(
      addressWord(src),
      addressWord(dst),
      (srcPort << 16) | dstPort,
      tupleKind(protocol, entry.family === 6),
      zoneOf(entry.zones, direction),
      entry.zones,
    );
  }

  /** Calls `visit` with the slots of connections that started from one source, until it says true. */
  findBySource(entry: ConntrackEntry, visit: (slot: number) => boolean): boolean {
    if (this.#used === 0) return false;
    const { protocol, src, srcPort } = entry.original;
    const kind = tupleKind(protocol, entry.family === 6);
    const word = addressWord(src);
    const words = this.#words;
    let slot = (this.#bySource[this.#sourceBucket(word, srcPort, kind, entry.zone)] as number) - 1;
    while (slot >= 0) {
      const base = slot * STRIDE;
      if (
        words[base + SRC] === word &&
        (words[base + PORTS] as number) >>> 16 === srcPort &&
        ((words[base + STATE] as number) & KIND_MASK) === kind &&
        ((words[base + ZONES] as number) & 0xffff) === entry.zone &&
        !this.isExpired(slot) &&
        visit(slot)
      ) {
        return true;
      }
      slot = (words[base + NEXT_BY_SOURCE] as number) - 1;
    }
    return false;
  }

  // Changes

  /**
   * Takes a connection in. Its tuples must not be there yet; of one that lost a race for the original
   * tuple (IPS_NAT_CLASH) only the reply is found.
   */
  insert(entry: ConntrackEntry): void {
    if (this.#free === 0) this.#grow();
    const slot = this.#free - 1;
    const words = this.#words;
    const base = slot * STRIDE;
    this.#free = words[base + NEXT] as number;
    this.#used++;
    const { original, reply, protocol } = entry;
    words[base + SRC] = addressWord(original.src);
    words[base + DST] = addressWord(original.dst);
    words[base + PORTS] = (original.srcPort << 16) | original.dstPort;
    words[base + TUPLE_WORDS + SRC] = addressWord(reply.src);
    words[base + TUPLE_WORDS + DST] = addressWord(reply.dst);
    words[base + TUPLE_WORDS + PORTS] = (reply.srcPort << 16) | reply.dstPort;
    words[base + STATE] =
      entry.status | tupleKind(protocol, entry.family === 6) | (entry.state << STATE_SHIFT);
    words[base + ZONES] = entry.zones;
    words[base + MARK] = entry.mark;
    words[base + TIMEOUT] = this.now + entry.remainingMs;
    words[base + L4] = entry.hasRecord ? this.#keepRecord(entry.record) : entry.streamTime;
    words[base + MASQUERADE] = entry.masqueradeIndex;
    this.#keepCounters(slot, entry);
    words[base + ID] = this.#nextId;
    this.#nextId = this.#nextId === 0x7fffffff ? 1 : this.#nextId + 1;
    if ((entry.status & IPS_NAT_CLASH) === 0) this.#link(slot, IP_CT_DIR_ORIGINAL);
    this.#link(slot, IP_CT_DIR_REPLY);
    if ((entry.status & IPS_SRC_NAT_DONE) !== 0) this.#linkBySource(slot);
    words[base + STATE] = (words[base + STATE] as number) | IPS_CONFIRMED;
    entry.attach(this, slot);
    this.#views[slot % VIEWS] = entry;
  }

  /** Ends a connection. */
  remove(slot: number): void {
    this.#changes(slot);
    const words = this.#words;
    const base = slot * STRIDE;
    const status = this.status(slot);
    if ((status & IPS_NAT_CLASH) === 0) this.#unlink(slot, IP_CT_DIR_ORIGINAL);
    this.#unlink(slot, IP_CT_DIR_REPLY);
    if ((status & IPS_SRC_NAT_DONE) !== 0) this.#unlinkBySource(slot);
    if (hasRecord(this.protocol(slot))) this.#dropRecord(words[base + L4] as number);
    const view = this.#views[slot % VIEWS];
    if (view?.slot === slot) this.#views[slot % VIEWS] = undefined;
    words[base + ID] = 0;
    words[base + NEXT] = this.#free;
    this.#free = slot + 1;
    this.#used--;
  }

  /** Removes everything that has ended. @returns milliseconds until the next one does, if there is one */
  sweep(): number | undefined {
    let next: number | undefined;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (!this.isUsed(slot)) continue;
      const remaining = this.remaining(slot);
      if (remaining <= 0) this.remove(slot);
      else if (next === undefined || remaining < next) next = remaining;
    }
    return next;
  }

  /**
   * Makes room near a tuple's chain by ending connections that are not assured (`early_drop`).
   * @returns how many ended
   */
  evict(hash: number): number {
    const buckets = this.#mask + 1;
    const range = Math.min(buckets, Math.ceil((EVICTION_RANGE * buckets) / this.#used));
    for (let i = 0; i < range; i++) {
      const bucket = (hash + i) & this.#mask;
      let evicted = 0;
      let expired = 0;
      let node = (this.#buckets[bucket] as number) - 1;
      while (node >= 0) {
        const slot = node >>> 1;
        if (this.isExpired(slot)) {
          this.remove(slot);
          expired++;
        } else if ((this.status(slot) & IPS_ASSURED) === 0) {
          this.remove(slot);
          evicted++;
        } else {
          node = (this.#words[slot * STRIDE + NEXT + (node & 1)] as number) - 1;
          continue;
        }
        // Both nodes of the removed connection may have been in this chain.
        node = (this.#buckets[bucket] as number) - 1;
      }
      if (evicted > 0) return evicted;
      if (expired > 0) return 0;
    }
    return -1;
  }

  /** A condition that holds until the connection changes or ends. */
  condition(slot: number): FlowCondition {
    let condition = this.#conditions.get(slot);
    if (condition === undefined) {
      condition = { holds: true };
      this.#conditions.set(slot, condition);
    }
    return condition;
  }

  #changes(slot: number): void {
    if (this.#conditions.size === 0) return;
    const condition = this.#conditions.get(slot);
    if (condition === undefined) return;
    this.#settle();
    condition.holds = false;
    this.#conditions.delete(slot);
  }

  // Chains

  #bucketOf(slot: number, direction: number): number {
    const base = slot * STRIDE;
    const at = base + direction * TUPLE_WORDS;
    const words = this.#words;
    const hash = hashTuple(
      words[at + SRC] as number,
      words[at + DST] as number,
      words[at + PORTS] as number,
      (words[base + STATE] as number) & KIND_MASK,
      zoneOf(words[base + ZONES] as number, direction),
    );
    return hash & this.#mask;
  }

  #link(slot: number, direction: Direction): void {
    const bucket = this.#bucketOf(slot, direction);
    this.#words[slot * STRIDE + NEXT + direction] = this.#buckets[bucket] as number;
    this.#buckets[bucket] = slot * 2 + direction + 1;
  }

  #unlink(slot: number, direction: Direction): void {
    const words = this.#words;
    const node = slot * 2 + direction + 1;
    const next = words[slot * STRIDE + NEXT + direction] as number;
    const bucket = this.#bucketOf(slot, direction);
    let before = this.#buckets[bucket] as number;
    if (before === node) {
      this.#buckets[bucket] = next;
      return;
    }
    for (;;) {
      const link = ((before - 1) >>> 1) * STRIDE + NEXT + ((before - 1) & 1);
      before = words[link] as number;
      if (before === node) {
        words[link] = next;
        return;
      }
    }
  }

  #sourceBucket(src: number, srcPort: number, kind: number, zone: number): number {
    return hashTuple(src, 0, srcPort, kind, zone) & (this.#slots - 1);
  }

  #sourceBucketOf(slot: number): number {
    const base = slot * STRIDE;
    const words = this.#words;
    return this.#sourceBucket(
      words[base + SRC] as number,
      (words[base + PORTS] as number) >>> 16,
      (words[base + STATE] as number) & KIND_MASK,
      (words[base + ZONES] as number) & 0xffff,
    );
  }

  #linkBySource(slot: number): void {
    const bucket = this.#sourceBucketOf(slot);
    this.#words[slot * STRIDE + NEXT_BY_SOURCE] = this.#bySource[bucket] as number;
    this.#bySource[bucket] = slot + 1;
  }

  #unlinkBySource(slot: number): void {
    const words = this.#words;
    const next = words[slot * STRIDE + NEXT_BY_SOURCE] as number;
    const bucket = this.#sourceBucketOf(slot);
    let before = this.#bySource[bucket] as number;
    if (before === slot + 1) {
      this.#bySource[bucket] = next;
      return;
    }
    for (;;) {
      const link = (before - 1) * STRIDE + NEXT_BY_SOURCE;
      before = words[link] as number;
      if (before === slot + 1) {
        words[link] = next;
        return;
      }
    }
  }

  // Space

  /** Twice the slots, and all chains anew. */
  #grow(): void {
    const old = this.#slots;
    const slots = old === 0 ? INITIAL_SLOTS : old * 2;
    const words = new Int32Array(slots * STRIDE);
    words.set(this.#words);
    this.#words = words;
    this.#slots = slots;
    this.#buckets = new Int32Array(slots * 2);
    this.#mask = slots * 2 - 1;
    this.#bySource = new Int32Array(slots);
    if (this.#counters !== undefined) this.#counters = grown(this.#counters, slots * 4);
    for (let slot = 0; slot < old; slot++) {
      if ((this.status(slot) & IPS_NAT_CLASH) === 0) this.#link(slot, IP_CT_DIR_ORIGINAL);
      this.#link(slot, IP_CT_DIR_REPLY);
      if ((this.status(slot) & IPS_SRC_NAT_DONE) !== 0) this.#linkBySource(slot);
    }
    for (let slot = slots - 1; slot >= old; slot--) {
      words[slot * STRIDE + NEXT] = this.#free;
      this.#free = slot + 1;
    }
  }

  #keepRecord(record: Int32Array): number {
    let number = this.#freeRecord;
    if (number === 0) {
      number = ++this.#recordCount;
      if (number * RECORD_WORDS > this.records.length) {
        const room = number + (number >>> 1) + 2;
        const records = new Int32Array(room * RECORD_WORDS);
        records.set(this.records);
        this.records = records;
      }
    } else {
      this.#freeRecord = this.records[(number - 1) * RECORD_WORDS] as number;
    }
    this.records.set(record, (number - 1) * RECORD_WORDS);
    return number;
  }

  #dropRecord(number: number): void {
    this.records[(number - 1) * RECORD_WORDS] = this.#freeRecord;
    this.#freeRecord = number;
  }

  #keepCounters(slot: number, entry: ConntrackEntry): void {
    const original = entry.counter(IP_CT_DIR_ORIGINAL);
    if (original === undefined) {
      if (this.#counters !== undefined) this.#counters.fill(0, slot * 4, slot * 4 + 4);
      return;
    }
    this.#counters ??= new Float64Array(this.#slots * 4);
    const reply = entry.counter(IP_CT_DIR_REPLY) as ConntrackCounter;
    this.#counters.set([original.packets, original.bytes, reply.packets, reply.bytes], slot * 4);
  }
}

/** The zone of one direction. */
function zoneOf(zones: number, direction: number): number {
  return zones === 0 ? 0 : direction === IP_CT_DIR_ORIGINAL ? zones & 0xffff : zones >>> 16;
}

/** Whether a protocol's tracker keeps a record (IPPROTO_TCP, IPPROTO_SCTP). */
function hasRecord(protocol: number): boolean {
  return protocol === 6 || protocol === 132;
}

function grown(array: Float64Array, length: number): Float64Array {
  const copy = new Float64Array(length);
  copy.set(array);
  return copy;
}
