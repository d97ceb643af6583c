import type { AddressRange } from "./address-range.ts";

/** Ranges that neither meet nor overlap, as one list: start, end, start, end… Ends are not included. */
export type SortedRanges = readonly number[];

export function rangesOf(boundaries: SortedRanges): AddressRange[] {
  const ranges: AddressRange[] = [];
  for (let i = 0; i < boundaries.length; i += 2) {
    ranges.push({ start: boundaries[i] as number, end: boundaries[i + 1] as number });
  }
  return ranges;
}

/** How many addresses there are in all. */
export function addresses(boundaries: SortedRanges): number {
  return boundaries.reduce((sum, boundary, i) => sum + (i % 2 === 0 ? -boundary : boundary), 0);
}

export function contains(boundaries: SortedRanges, address: number): boolean {
  return firstWhere(boundaries, (boundary) => boundary > address) % 2 === 1;
}

export function union(boundaries: SortedRanges, range: AddressRange): SortedRanges {
  return combine(boundaries, range, 0);
}

export function subtract(boundaries: SortedRanges, range: AddressRange): SortedRanges {
  return combine(boundaries, range, 1);
}

/** Boundaries inside the range go; its own stay where they lie outside (`parity` 0) or inside (1) of what is there. */
function combine(
  boundaries: SortedRanges,
  { start, end }: AddressRange,
  parity: 0 | 1,
): SortedRanges {
  const from = firstWhere(boundaries, (boundary) => boundary >= start);
  const to = firstWhere(boundaries, (boundary) => boundary > end);
  const own: number[] = [];
  if (from % 2 === parity) own.push(start);
  if (to % 2 === parity) own.push(end);
  return [...boundaries.slice(0, from), ...own, ...boundaries.slice(to)];
}

/** The first index for which it holds; it holds for all behind that one. */
function firstWhere(boundaries: SortedRanges, holds: (boundary: number) => boolean): number {
  let low = 0;
  let high = boundaries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(boundaries[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}
