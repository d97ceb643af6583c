/** Cells at least this wide, with so many blanks behind the longest (`tabwriter.NewWriter(os.Stdout, 5, 0, 3, ' ', 0)`). */
export interface TabWriterOptions {
  readonly minWidth?: number;
  readonly padding?: number;
}

/**
 * Lines of cells, each but the last of a line ended by a tab, as Go's text/tabwriter aligns them: a column is as wide as
 * those lines need that follow each other and have it. A line's last cell belongs to no column.
 */
export function alignTabs(
  lines: readonly string[],
  { minWidth = 5, padding = 3 }: TabWriterOptions = {},
): string {
  const cells = lines.map((line) => line.split("\t"));
  const out: string[] = [];
  const write = (from: number, to: number, widths: readonly number[]) => {
    for (let i = from; i < to; i++) {
      const line = cells[i] as string[];
      out.push(line.map((cell, j) => cell.padEnd(widths[j] ?? 0)).join(""));
    }
  };
  const format = (from: number, to: number, widths: readonly number[]) => {
    const column = widths.length;
    const has = (i: number) => column < (cells[i] as string[]).length - 1;
    let done = from;
    for (let i = from; i < to; i++) {
      if (!has(i)) continue;
      write(done, i, widths);
      done = i;
      let width = minWidth;
      for (; i < to && has(i); i++) {
        width = Math.max(width, ((cells[i] as string[])[column] as string).length + padding);
      }
      format(done, i, [...widths, width]);
      done = i;
    }
    write(done, to, widths);
  };
  format(0, cells.length, []);
  return out.map((line) => `${line}\n`).join("");
}
