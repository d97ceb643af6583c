import type { PeerName } from "../mesh/peer-name.ts";
import type { AddressRange } from "./address-range.ts";
import { entryAt, type RingEntry } from "./ring-entry.ts";
import { entryInMyRange, inconsistentEntry, newerVersion } from "./ring-error.ts";

/** Whose entries are merged, and what that peer knows of its own space. */
export interface MergeSide {
  readonly peer: PeerName;
  /** A range between two tokens, split where it wraps around the ring. */
  ranges(start: number, end: number): readonly AddressRange[];
  hasAllocations(ranges: readonly AddressRange[]): boolean;
}

export interface MergedEntries {
  readonly entries: readonly RingEntry[];
  readonly updated: boolean;
}

/**
 * Both rings' entries in the order of tokens, each token once (ipam/ring/ring.go entries.merge). Only an owner changes its entries, so
 * of two versions the higher is the later one.
 * @throws RingError where it would take addresses from us that are in use
 */
export function mergeEntries(
  mine: readonly RingEntry[],
  theirs: readonly RingEntry[],
  side: MergeSide,
): MergedEntries {
  const entries: RingEntry[] = [];
  let updated = false;
  // Who owns what the next token splits; not known after an entry of theirs.
  let owner: PeerName | undefined;
  const keep = (entry: RingEntry) => {
    entries.push(entry);
    owner = entry.peer;
  };
  const take = (entry: RingEntry) => {
    entries.push(entry);
    updated = true;
    owner = undefined;
  };
  const splitsOurs = (entry: RingEntry) => owner === side.peer && entry.peer !== side.peer;

  let i = 0;
  let j = 0;
  while (i < mine.length && j < theirs.length) {
    const own = mine[i] as RingEntry;
    const other = theirs[j] as RingEntry;
    if (own.token < other.token) {
      keep(own);
      i++;
    } else if (own.token > other.token) {
      if (splitsOurs(other) && side.hasAllocations(side.ranges(other.token, own.token))) {
        throw entryInMyRange(other);
      }
      take(other);
      j++;
    } else {
      const end = entryAt(mine, i + 1).token;
      const inUse = () => side.hasAllocations(side.ranges(own.token, end));
      const chosen = ofOneToken(own, other, side.peer, inUse);
      // Peers of one process share entries: what is ours already is nothing taken.
      if (chosen === own) keep(own);
      else if (chosen === other) take(other);
      else entries.push(chosen);
      i++;
      j++;
    }
  }
  for (; i < mine.length; i++) entries.push(mine[i] as RingEntry);
  for (; j < theirs.length; j++) {
    const other = theirs[j] as RingEntry;
    // Here the real one does not ask whether there are allocations.
    if (splitsOurs(other)) throw entryInMyRange(other);
    take(other);
  }
  return { entries, updated };
}

/** Which of two entries of one token stands; where a newer one says that ours is still ours, ours with a version above it. */
function ofOneToken(
  own: RingEntry,
  other: RingEntry,
  ourPeer: PeerName,
  inUse: () => boolean,
): RingEntry {
  if (own.version > other.version) return own;
  if (own.version === other.version) {
    if (own.peer === other.peer) return own;
    if (own.peer === ourPeer && inUse()) throw inconsistentEntry(own, other);
    return own.free >= other.free ? own : other;
  }
  if (own.peer !== ourPeer) return other;
  if (other.peer === ourPeer) return { ...own, version: other.version + 1 };
  if (inUse()) throw newerVersion(own, other);
  return other;
}
