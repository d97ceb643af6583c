import type { IpAddress, IpFamily } from "./ip-address.ts";
import { Ipv6Address } from "./ipv6-address.ts";
import { equalLeadingBits } from "./leading-bits.ts";
import type { LpmStructure } from "./lpm-structure.ts";
import { Prefix } from "./prefix.ts";

/** Slots of a page, and the bits of a slot's number that are its index in the page. */
const PAGE_SLOTS = 32;
const INDEX = PAGE_SLOTS - 1;
const PAGE_SHIFT = 5;
/** First of the slots that lead further down. */
const FIRST_CHILD = 16;
/** Bits of the address that a page reads. */
const STRIDE = 4;

/** From how many IPv4 prefixes on the way through the first 16 bits is remembered: 16 bytes a prefix. */
const JUMP_FROM = 16_384;
/** Depth, in strides, of the pages that the jump table leads to or past. */
const JUMP_STRIDES = 16 / STRIDE;

/** The record that holds the prefix asked for; the others are the prefixes of the table. */
const ASKED = 0;

/**
 * Any number of prefixes of one family: a path-compressed trie that reads four bits at a time.
 *
 * A page reads four bits of the address from bit `depth` on, and is a binary heap: slot 1 is the
 * prefix of exactly `depth` bits, slots 2 and 3 those of one bit more, 4 to 7 of two, 8 to 15 of
 * three. Slots 16 to 31, one for each value of the four bits, lead to all that is longer: a page, or
 * the record of a prefix that is alone there. The parent of slot `i` is `i >> 1`, and slot 0 holds
 * the number of the slot that leads to this page. So climbing from where a walk down ended passes
 * every prefix that can match, longest first, and needs no memory of the way.
 *
 * Bits that all prefixes below a slot share are skipped, so a page may begin many bits below its
 * parent, and a record is compared with the address before it counts. Every page but the first holds
 * two things or more: there are fewer pages (130 bytes each) than prefixes.
 */
export class LpmTrie<V> implements LpmStructure<V> {
  /**
   * 0 is empty, a positive number is a page (its first slot plus its depth / 4), and a negative one
   * is a record. The first page has depth 0 and begins at slot 0.
   */
  #slots: Int32Array = new Int32Array(4 * PAGE_SLOTS);
  /** For each page, the slots of 1 to 15 that are taken, as bits. */
  #shorter: Uint16Array = new Uint16Array(4);
  /** Slots ever used. */
  #end = PAGE_SLOTS;
  /** First slot of a free page, which holds that of the next one; 0 when there is none. */
  #freePage = 0;

  /** Of each record the words of the address, then the length. */
  #records: Int32Array;
  /** Words of a record: 2 or 5. */
  readonly #recordWords: number;
  /** Values by record. */
  readonly #values: (V | undefined)[] = [undefined];
  /** A free record, whose first word holds the next one; 0 when there is none. */
  #freeRecord = 0;
  #size = 0;

  /** By the first 16 bits of an address: the slot in which a walk past depth 12 ends; 0 is not known. */
  #jump: Int32Array | undefined = undefined;

  constructor(family: IpFamily) {
    this.#recordWords = family === 4 ? 2 : 5;
    this.#records = new Int32Array(16 * this.#recordWords);
  }

  get size(): number {
    return this.#size;
  }

  lookupShorter(address: IpAddress, below: number): V | undefined {
    return typeof address === "number"
      ? this.#lookup(address, 0, 0, 0, below)
      : this.#lookup(address.a, address.b, address.c, address.d, below);
  }

  #lookup(a: number, b: number, c: number, d: number, below: number): V | undefined {
    const slots = this.#slots;
    const jump = this.#jump;
    let slot =
      jump === undefined
        ? FIRST_CHILD + (a >>> 28)
        : (jump[a >>> 16] as number) || this.#fillJump(jump, a >>> 16);
    let ref = slots[slot] as number;
    while (ref > 0) {
      const depth = (ref & INDEX) * STRIDE;
      const word = depth < 32 ? a : depth < 64 ? b : depth < 96 ? c : d;
      slot = (ref & ~INDEX) + FIRST_CHILD + ((word >>> (28 - (depth & 31))) & 15);
      ref = slots[slot] as number;
    }
    if (ref < 0 && this.#matches(-ref, a, b, c, d, below)) return this.#values[-ref];
    for (;;) {
      const page = slot >>> PAGE_SHIFT;
      const index = slot & INDEX;
      // The parents of `index`, as bits: longest first is highest first.
      const parents =
        (1 << (index >> 1)) | (1 << (index >> 2)) | (1 << (index >> 3)) | (1 << (index >> 4));
      for (let taken = parents & (this.#shorter[page] as number); taken !== 0; ) {
        const parent = 31 - Math.clz32(taken);
        ref = slots[page * PAGE_SLOTS + parent] as number;
        if (this.#matches(-ref, a, b, c, d, below)) return this.#values[-ref];
        taken ^= 1 << parent;
      }
      if (page === 0) return undefined;
      slot = slots[page * PAGE_SLOTS] as number;
    }
  }

  #matches(record: number, a: number, b: number, c: number, d: number, below: number): boolean {
    const records = this.#records;
    if (this.#recordWords === 2) {
      const length = records[record * 2 + 1] as number;
      return length < below && equalLeadingBits(a, records[record * 2] as number, length);
    }
    const at = record * 5;
    const length = records[at + 4] as number;
    return (
      length < below &&
      equalLeadingBits(a, records[at] as number, length) &&
      equalLeadingBits(b, records[at + 1] as number, length - 32) &&
      equalLeadingBits(c, records[at + 2] as number, length - 64) &&
      equalLeadingBits(d, records[at + 3] as number, length - 96)
    );
  }

  #fillJump(jump: Int32Array, first16: number): number {
    let slot = FIRST_CHILD + (first16 >>> 12);
    for (;;) {
      const ref = this.#slots[slot] as number;
      const strides = ref & INDEX;
      if (ref <= 0 || strides >= JUMP_STRIDES) break;
      slot = (ref & ~INDEX) + FIRST_CHILD + ((first16 >>> (12 - strides * STRIDE)) & 15);
    }
    jump[first16] = slot;
    return slot;
  }

  get(prefix: Prefix): V | undefined {
    const slot = this.#find(prefix);
    return slot === 0 ? undefined : this.#values[-(this.#slots[slot] as number)];
  }

  set(prefix: Prefix, value: V): void {
    const slot = this.#find(prefix);
    if (slot === 0) this.#insert(this.#addRecord(value));
    else this.#values[-(this.#slots[slot] as number)] = value;
  }

  delete(prefix: Prefix): boolean {
    const slot = this.#find(prefix);
    if (slot === 0) return false;
    this.#removeRecord(-(this.#slots[slot] as number));
    this.#put(0, slot);
    if (slot >= PAGE_SLOTS) this.#collapse(slot & ~INDEX);
    return true;
  }

  entries(): [Prefix, V][] {
    const found: [Prefix, V][] = [];
    this.#collect(1, found);
    return found;
  }

  /** In heap order, parents first: by address, then length. */
  #collect(slot: number, found: [Prefix, V][]): void {
    const ref = this.#slots[slot] as number;
    if (ref < 0) found.push([this.#prefixOf(-ref), this.#values[-ref] as V]);
    if (ref > 0) this.#collect((ref & ~INDEX) + 1, found);
    const index = slot & INDEX;
    if (index >= FIRST_CHILD) return;
    this.#collect(slot + index, found);
    this.#collect(slot + index + 1, found);
  }

  #prefixOf(record: number): Prefix {
    const words = this.#recordWords;
    const [a, b, c, d] = this.#records.subarray(record * words) as unknown as number[];
    const address =
      words === 2
        ? (a as number) >>> 0
        : Ipv6Address.of(a as number, b as number, c as number, d as number);
    return new Prefix(address, this.#length(record));
  }

  /** Makes `prefix` the asked record and returns its slot, or 0. */
  #find(prefix: Prefix): number {
    this.#write(ASKED, prefix);
    let page = 0;
    while (prefix.length >= (page & INDEX) * STRIDE) {
      const slot = this.#slotIn(page, ASKED);
      const ref = this.#slots[slot] as number;
      if (ref === 0) return 0;
      if (ref < 0) return this.#equal(-ref, ASKED) ? slot : 0;
      page = ref;
    }
    return 0;
  }

  /** Puts a record that is not there yet into its slot. */
  #insert(record: number): void {
    // All below a page agree up to its depth, so one record near the new one's place tells of each
    // page on the way whether the new one belongs below it.
    const common = this.#commonBits(record, this.#near(record));
    let page = 0;
    for (;;) {
      const slot = this.#slotIn(page, record);
      const ref = this.#slots[slot] as number;
      if (ref > 0 && common >= (ref & INDEX) * STRIDE) {
        page = ref;
        continue;
      }
      if (ref === 0) {
        this.#put(-record, slot);
        return;
      }
      const other = ref < 0 ? -ref : this.#firstRecord(ref);
      const fork = this.#addPage(slot, this.#commonBits(record, other));
      this.#put(ref, this.#slotIn(fork, other));
      this.#put(-record, this.#slotIn(fork, record));
      return;
    }
  }

  /** Writes a slot, and what must agree with it. */
  #put(ref: number, slot: number): void {
    this.#slots[slot] = ref;
    if (ref > 0) this.#slots[ref & ~INDEX] = slot;
    const bit = 1 << (slot & INDEX);
    const page = slot >>> PAGE_SHIFT;
    if (ref === 0) (this.#shorter[page] as number) &= ~bit;
    else (this.#shorter[page] as number) |= bit;
  }

  /** Where a record belongs in a page whose depth its length reaches. */
  #slotIn(page: number, record: number): number {
    const depth = (page & INDEX) * STRIDE;
    const bits = this.#bits(record, depth);
    const more = this.#length(record) - depth;
    const index = more >= STRIDE ? FIRST_CHILD + bits : (1 << more) | (bits >> (STRIDE - more));
    return (page & ~INDEX) + index;
  }

  /** A record below the page in which a walk along the bits of `record` ends. */
  #near(record: number): number {
    const length = this.#length(record);
    let page = 0;
    for (;;) {
      const depth = (page & INDEX) * STRIDE;
      if (length < depth + STRIDE) break;
      const slot = (page & ~INDEX) + FIRST_CHILD + this.#bits(record, depth);
      const ref = this.#slots[slot] as number;
      if (ref < 0) return -ref;
      if (ref === 0) break;
      page = ref;
    }
    return this.#firstRecord(page);
  }

  /** The first record in or below a page; {@link ASKED} in an empty table. */
  #firstRecord(page: number): number {
    const start = page & ~INDEX;
    for (let slot = start + 1; slot < start + PAGE_SLOTS; slot++) {
      const ref = this.#slots[slot] as number;
      if (ref !== 0) return ref < 0 ? -ref : this.#firstRecord(ref);
    }
    return ASKED;
  }

  /** A new page at `slot`, with the greatest depth that is at most `bits`. */
  #addPage(slot: number, bits: number): number {
    let start = this.#freePage;
    if (start !== 0) {
      this.#freePage = this.#slots[start] as number;
    } else {
      start = this.#end;
      this.#end += PAGE_SLOTS;
      if (start === this.#slots.length) {
        const pages = this.#shorter.length;
        this.#shorter = grown(this.#shorter, new Uint16Array(pages + (pages >> 1)));
        this.#slots = grown(this.#slots, new Int32Array(this.#shorter.length * PAGE_SLOTS));
      }
    }
    const page = start + Math.floor(bits / STRIDE);
    if ((page & INDEX) < JUMP_STRIDES) this.#jump?.fill(0);
    this.#put(page, slot);
    return page;
  }

  /** Takes away a page that is left with one thing, which moves up. */
  #collapse(start: number): void {
    let only = 0;
    for (let slot = start + 1; slot < start + PAGE_SLOTS; slot++) {
      if (this.#slots[slot] === 0) continue;
      if (only !== 0) return;
      only = slot;
    }
    const slot = this.#slots[start] as number;
    if (((this.#slots[slot] as number) & INDEX) < JUMP_STRIDES) this.#jump?.fill(0);
    this.#put(this.#slots[only] as number, slot);
    this.#put(0, only);
    this.#slots[start] = this.#freePage;
    this.#freePage = start;
  }

  #length(record: number): number {
    return this.#records[record * this.#recordWords + this.#recordWords - 1] as number;
  }

  /** The four bits of a record's address from bit `depth` on. */
  #bits(record: number, depth: number): number {
    const word = this.#records[record * this.#recordWords + (depth >>> 5)] as number;
    return (word >>> (28 - (depth & 31))) & 15;
  }

  /** Bits that the prefixes of two records share, from the first on. */
  #commonBits(x: number, y: number): number {
    const most = Math.min(this.#length(x), this.#length(y));
    let xAt = x * this.#recordWords;
    let yAt = y * this.#recordWords;
    for (let bits = 0; bits < most; bits += 32) {
      const differ = (this.#records[xAt++] as number) ^ (this.#records[yAt++] as number);
      if (differ !== 0) return Math.min(most, bits + Math.clz32(differ));
    }
    return most;
  }

  #equal(x: number, y: number): boolean {
    return this.#length(x) === this.#length(y) && this.#commonBits(x, y) === this.#length(x);
  }

  #write(record: number, { address, length }: Prefix): void {
    const words =
      typeof address === "number" ? [address] : [address.a, address.b, address.c, address.d];
    this.#records.set([...words, length], record * this.#recordWords);
  }

  /** A new record of the asked prefix. */
  #addRecord(value: V): number {
    const words = this.#recordWords;
    let record = this.#freeRecord;
    if (record !== 0) {
      this.#freeRecord = this.#records[record * words] as number;
    } else {
      record = this.#values.length;
      const { length } = this.#records;
      if (record * words === length) {
        const records = record + (record >> 1);
        this.#records = grown(this.#records, new Int32Array(records * words));
      }
    }
    this.#records.copyWithin(record * words, ASKED, words);
    this.#values[record] = value;
    this.#size++;
    if (this.#size === JUMP_FROM && words === 2) this.#jump ??= new Int32Array(1 << 16);
    return record;
  }

  #removeRecord(record: number): void {
    this.#records[record * this.#recordWords] = this.#freeRecord;
    this.#freeRecord = record;
    this.#values[record] = undefined;
    this.#size--;
  }
}

function grown<T extends Int32Array | Uint16Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
