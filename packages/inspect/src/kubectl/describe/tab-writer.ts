/** Spaces behind the widest cell of a column (kubectl pkg/describe `tabbedString`). */
const PADDING = 2;

/**
 * Puts tab-terminated cells below each other as Go's text/tabwriter does: a column is as wide as the widest of its cells in adjacent
 * lines that have it, and what follows a line's last tab belongs to no column.
 */
export function tabbed(lines: readonly string[]): string {
  const table = lines.map((line) => line.split("\t"));
  const texts = table.map(() => "");
  pad(table, texts, 0, 0, table.length);
  return texts.map((text) => `${text}\n`).join("");
}

/** Pads the column in the lines from `start` to `end`, all of which have the columns before it. */
function pad(
  table: readonly (readonly string[])[],
  texts: string[],
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
    while (line < end && isIn(line)) line++;
    const cells = table.slice(first, line).map((cells) => cells[column] as string);
    const width = Math.max(...cells.map((cell) => [...cell].length)) + PADDING;
    cells.forEach((cell, i) => {
      texts[first + i] += cell + " ".repeat(width - [...cell].length);
    });
    pad(table, texts, column + 1, first, line);
  }
}
