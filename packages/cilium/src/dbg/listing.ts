import { dbgTable } from "./dbg-table.ts";

/** What `cilium-dbg` tells: a text, or what `-o json` has; `note` is for standard error. */
export interface DbgOutput {
  readonly text: string;
  readonly json: unknown;
  readonly note?: string;
}

/** Lines of a listing by the key that they stand behind. */
export type Listing = ReadonlyMap<string, readonly string[]>;

/** As maps are dumped for a table of two columns (cilium-dbg/cmd/helpers.go TablePrinter). The real one has no order. */
export function tableOutput(
  [first, second]: readonly [string, string],
  listing: Listing,
  noteIfEmpty?: string,
): DbgOutput {
  // Go's encoder sorts keys.
  const json = Object.fromEntries([...listing].sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0)));
  if (listing.size === 0 && noteIfEmpty !== undefined) {
    return { text: "", json, note: noteIfEmpty };
  }
  const rows = [...listing].flatMap(([key, values]) =>
    values.map((value, i) => `${i === 0 ? key : ""}\t${value}\t`),
  );
  return { text: dbgTable([`${first}\t${second}`, ...rows]), json };
}

export const NO_ENTRIES_FOUND = "No entries found.";
