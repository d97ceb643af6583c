/** The arguments of Go's `tabwriter.NewWriter` in which programs differ. */
export interface TabWriterOptions {
  /** Cells are at least this wide. */
  readonly minWidth: number;
  /** So many blanks stand behind the longest cell of a column. */
  readonly padding: number;
}

/**
 * Lines of cells, each but the last of a line ended by a tab, as Go's text/tabwriter aligns them: a column is as wide as
 * those lines need that follow each other and have it. A line's last cell belongs to no column.
 */
export function alignTabs(lines: readonly string[], options: TabWriterOptions): string {
  const table = lines.map((line) => line.split("\t"));
  const texts = table.map(() => "");
  pad(table, texts, options, 0, 0, table.length);
  return texts.map((text) => `${text}\n`).join("");
}

/** Pads the column in the lines from `start` to `end`, all of which have the columns before it. */
function pad(
  table: readonly (readonly string[])[],
  texts: string[],
  options: TabWriterOptions,
  column: number,
  start: number,
  end: number,
): void {
  const isIn = (line: number): boolean => (table[line] as readonly string[]).length - 1 > column;
  for (let line = start; line < end; ) {
    if (!isIn(line)) {
      texts[line] += table[line]?.[column] ?? "";
      line++;
      continue;
    }
    const first = line;
    let width = options.minWidth;
    for (; line < end && isIn(line); line++) {
      width = Math.max(width, lengthOf(table[line]?.[column] ?? "") + options.padding);
    }
    for (let i = first; i < line; i++) {
      const cell = table[i]?.[column] ?? "";
      texts[i] += cell + " ".repeat(width - lengthOf(cell));
    }
    pad(table, texts, options, column + 1, first, line);
  }
}

/** In code points, as Go counts. */
function lengthOf(cell: string): number {
  return [...cell].length;
}
