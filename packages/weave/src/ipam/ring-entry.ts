import type { Ipv4Address } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";

/** A token: who owns the addresses from it to the next one (ipam/ring/entry.go). */
export interface RingEntry {
  readonly token: Ipv4Address;
  readonly peer: PeerName;
  /** Rises with each change; 32 bits. */
  readonly version: number;
  /** Free addresses, as its owner last said. */
  readonly free: number;
}

/** The entry at an index around the ring: -1 is the last one, the length the first. */
export function entryAt(entries: readonly RingEntry[], index: number): RingEntry {
  const { length } = entries;
  const entry = entries[((index % length) + length) % length];
  if (entry === undefined) throw new RangeError("an empty ring has no entries");
  return entry;
}

/** The index of the last entry whose token is not after the address; -1 where there is none. */
export function lastAtOrBefore(entries: readonly RingEntry[], address: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as RingEntry).token > address) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}
