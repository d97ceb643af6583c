import { alignTabs } from "@cnilab/core";

/** Lines of cells as docker's formatter sets them (cli/command/formatter `tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)`). */
export function dockerTable(lines: readonly (readonly string[])[]): string {
  return alignTabs(
    lines.map((cells) => cells.join("\t")),
    { minWidth: 10, padding: 3 },
  );
}

/** What identifies a thing in a listing. */
export function shownId(id: string, noTrunc = false): string {
  return noTrunc ? id : id.slice(0, 12);
}

/** Objects as `docker inspect` prints them, whichever they are. */
export function inspectText(objects: readonly object[]): string {
  return `${JSON.stringify(objects, null, 4)}\n`;
}

/** Names as Go's encoding/json orders the keys of a map. */
export function sortedByKey<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0)));
}
