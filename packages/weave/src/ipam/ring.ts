import { formatIp, type Ipv4Address } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";
import { type AddressRange, sizeOf } from "./address-range.ts";
import { entryAt, lastAtOrBefore, type RingEntry } from "./ring-entry.ts";
import { DifferentRange, DifferentSeeds, RingError } from "./ring-error.ts";
import { mergeEntries } from "./ring-merge.ts";

/** A ring as peers send it to each other. */
export interface RingState {
  readonly range: AddressRange;
  /** Peers that the range was first split between, in order; empty until somebody tells. */
  readonly seeds: readonly PeerName[];
  /** By token. */
  readonly entries: readonly RingEntry[];
}

/**
 * Who owns which addresses, as one peer knows it (ipam/ring/ring.go). An entry owns from its token to the next one; the last goes around
 * to the first. Only an owner changes its entries, so rings merge in any order.
 */
export class Ring {
  readonly range: AddressRange;
  readonly peer: PeerName;
  #seeds: readonly PeerName[] = [];
  #entries: readonly RingEntry[] = [];

  constructor(range: AddressRange, peer: PeerName) {
    this.range = range;
    this.peer = peer;
  }

  get seeds(): readonly PeerName[] {
    return this.#seeds;
  }

  get entries(): readonly RingEntry[] {
    return this.#entries;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Entries are never changed in place: the state stays as it is now. */
  state(): RingState {
    return { range: this.range, seeds: this.#seeds, entries: this.#entries };
  }

  /** What was kept before a restart. */
  restore({ seeds, entries }: RingState): void {
    this.#seeds = seeds;
    this.#entries = entries;
  }

  contains(address: Ipv4Address): boolean {
    return address >= this.range.start && address < this.range.end;
  }

  /** `undefined` while the ring is empty. */
  owner(address: Ipv4Address): PeerName | undefined {
    if (this.isEmpty) return undefined;
    return entryAt(this.#entries, lastAtOrBefore(this.#entries, address)).peer;
  }

  owners(): ReadonlySet<PeerName> {
    return new Set(this.#entries.map(({ peer }) => peer));
  }

  /** By address; a range that goes around the ring is two. */
  ownedRanges(peer: PeerName = this.peer): AddressRange[] {
    return this.#rangesOf((entry) => entry.peer === peer);
  }

  /** The first split of an empty ring, in halves of halves, so that each part is a prefix. `peers` are sorted. */
  claimForPeers(peers: readonly PeerName[]): void {
    if (!this.isEmpty) throw new RingError("the ring has entries already");
    const entries: RingEntry[] = [];
    const divide = (start: number, end: number, among: readonly PeerName[]) => {
      const [first] = among;
      if (first === undefined) return;
      if (among.length === 1 || end - start === 1) {
        entries.push({ token: start, peer: first, version: 0, free: end - start });
        return;
      }
      const middle = start + Math.floor((end - start) / 2);
      const half = among.length >> 1;
      divide(start, middle, among.slice(0, half));
      divide(middle + ((end - start) % 2), end, among.slice(half));
    };
    divide(this.range.start, this.range.end, peers);
    this.#entries = entries;
    this.#seeds = peers;
  }

  /** Gives addresses that we own to another peer. */
  grantRangeToHost(range: AddressRange, peer: PeerName): void {
    const { start } = range;
    const entries = [...this.#entries];
    let at = lastAtOrBefore(entries, start);
    const before = entryAt(entries, at);
    const startFree = Math.min(
      this.#distance(start, entryAt(entries, at + 1).token),
      sizeOf(range),
    );
    if (before.token === start) {
      entries[(at + entries.length) % entries.length] = changed(before, peer, startFree);
    } else {
      entries[(at + entries.length) % entries.length] = changed(
        before,
        this.peer,
        this.#distance(before.token, start),
      );
      at++;
      entries.splice(at, 0, { token: start, peer, version: 0, free: startFree });
    }
    // All tokens in between are the other's now, too.
    let next = at + 1;
    for (; next < entries.length && entryAt(entries, next).token < range.end; next++) {
      const entry = entryAt(entries, next);
      entries[next] = changed(
        entry,
        peer,
        Math.min(entry.free, this.#distance(entry.token, range.end)),
      );
    }
    // No token is the ring's end: that is its start.
    const end = range.end === this.range.end ? this.range.start : range.end;
    const behind = lastAtOrBefore(entries, end);
    if (behind < 0 || entryAt(entries, behind).token !== end) {
      entries.splice(behind + 1, 0, {
        token: end,
        peer: this.peer,
        version: 0,
        free: this.#distance(end, entryAt(entries, next).token),
      });
    }
    this.#entries = entries;
  }

  /**
   * Takes what another peer knows.
   * @param hasAllocations whether any address of these ranges is in use here
   * @returns whether that changed anything
   * @throws RingError where it cannot be; then nothing has changed
   */
  merge(other: RingState, hasAllocations: (ranges: readonly AddressRange[]) => boolean): boolean {
    this.#check(other.entries, other.range);
    if (other.seeds.length > 0 && this.#seeds.length > 0 && !same(other.seeds, this.#seeds)) {
      throw new DifferentSeeds();
    }
    if (other.range.start !== this.range.start || other.range.end !== this.range.end) {
      throw new DifferentRange();
    }
    const merged = mergeEntries(this.#entries, other.entries, {
      peer: this.peer,
      ranges: (start, end) => this.#split([{ start, end }]),
      hasAllocations,
    });
    // A range of ours that somebody split has less room than it said.
    const entries = merged.entries.map((entry, index) => {
      const room = this.#distance(entry.token, entryAt(merged.entries, index + 1).token);
      return entry.peer === this.peer && entry.free > room ? { ...entry, free: room } : entry;
    });
    try {
      this.#check(entries, this.range);
    } catch (error) {
      throw new RingError(`Merge of incoming data causes: ${(error as Error).message}`);
    }
    if (this.#seeds.length === 0) this.#seeds = other.seeds;
    this.#entries = entries;
    return merged.updated;
  }

  /** Tells how many addresses of our ranges are free, by the ranges' starts. @returns whether that is news */
  reportFree(free: ReadonlyMap<Ipv4Address, number>): boolean {
    const counts = new Map(free);
    const first = this.#entries[0];
    const wrapped = counts.get(this.range.start);
    if (wrapped !== undefined && first !== undefined && first.token !== this.range.start) {
      const last = entryAt(this.#entries, -1).token;
      counts.set(last, (counts.get(last) ?? 0) + wrapped);
    }
    let updated = false;
    this.#entries = this.#entries.map((entry) => {
      const now = entry.peer === this.peer ? counts.get(entry.token) : undefined;
      if (now === undefined || now === entry.free) return entry;
      updated = true;
      return { ...entry, free: now, version: entry.version + 1 };
    });
    return updated;
  }

  /** Other peers with free addresses in the range, and how many of them the ring knows. */
  freeSpaceOfOthers(range: AddressRange): ReadonlyMap<PeerName, number> {
    const found = new Map<PeerName, number>();
    this.#entries.forEach(({ token, peer, free }, index) => {
      const next = this.#entries[index + 1];
      if (next !== undefined && next.token <= range.start) return;
      if (token >= range.end || free === 0 || peer === this.peer) return;
      found.set(peer, (found.get(peer) ?? 0) + free);
    });
    return found;
  }

  /** Makes one peer's entries another's: a peer that is gone, or that goes. @returns what it got */
  transfer(from: PeerName, to: PeerName): AddressRange[] {
    const ranges = this.ownedRanges(from);
    this.#entries = this.#entries.map((entry) =>
      // Far above what anything else may have done to it in the meantime.
      entry.peer === from ? { ...entry, peer: to, version: entry.version + 100 } : entry,
    );
    return ranges;
  }

  #rangesOf(wanted: (entry: RingEntry) => boolean): AddressRange[] {
    const ranges: AddressRange[] = [];
    this.#entries.forEach((entry, index) => {
      if (!wanted(entry)) return;
      ranges.push({ start: entry.token, end: entryAt(this.#entries, index + 1).token });
    });
    return this.#split(ranges);
  }

  /** The last of the ranges may go around the ring. */
  #split(ranges: readonly AddressRange[]): AddressRange[] {
    const last = ranges.at(-1);
    if (last === undefined || last.end > last.start) return [...ranges];
    const toTheEnd = { start: last.start, end: this.range.end };
    const others = ranges.slice(0, -1);
    if (last.end === this.range.start) return [...others, toTheEnd];
    return [{ start: this.range.start, end: last.end }, ...others, toTheEnd];
  }

  #distance(start: number, end: number): number {
    return distance(this.range, start, end);
  }

  /** @throws RingError */
  #check(entries: readonly RingEntry[], range: AddressRange): void {
    entries.forEach(({ token }, index) => {
      const before = entries[index - 1];
      if (before !== undefined && token < before.token) throw new RingError("Ring not sorted");
    });
    entries.forEach(({ token }, index) => {
      if (entries[index - 1]?.token === token) {
        throw new RingError("Token appears twice in ring");
      }
    });
    if (entries.length === 0) return;
    if (entryAt(entries, 0).token < range.start || entryAt(entries, -1).token >= range.end) {
      throw new RingError("Token is out of range");
    }
    entries.forEach(({ token, free }, index) => {
      const next = entryAt(entries, index + 1).token;
      const room = distance(range, token, next);
      if (free > room) {
        throw new RingError(
          `Entry ${formatIp(token)}-${formatIp(next)} reporting too much free space: ${free} > ${room}`,
        );
      }
    });
  }
}

/** From one token to another around the ring; all of it where they are the same. */
function distance(range: AddressRange, start: number, end: number): number {
  return end > start ? end - start : range.end - start + (end - range.start);
}

function changed(entry: RingEntry, peer: PeerName, free: number): RingEntry {
  return { token: entry.token, peer, version: entry.version + 1, free };
}

function same(x: readonly PeerName[], y: readonly PeerName[]): boolean {
  return x.length === y.length && x.every((name, index) => name === y[index]);
}
