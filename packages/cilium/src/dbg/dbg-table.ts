import { alignTabs } from "@cnilab/core";

/** Cells below each other as cilium-dbg sets them (`tabwriter.NewWriter(os.Stdout, 5, 0, 3, ' ', 0)`). */
export function dbgTable(lines: readonly string[], minWidth = 5): string {
  return alignTabs(lines, { minWidth, padding: 3 });
}
