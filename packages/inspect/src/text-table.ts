/**
 * Lines of columns that are as wide as their widest cell, with `gap` spaces between them. The last
 * column is not filled up, unless `fillLast` says so, as kubectl's printer does.
 */
export function textTable(
  rows: readonly (readonly string[])[],
  { gap = 3, fillLast = false }: { readonly gap?: number; readonly fillLast?: boolean } = {},
): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  const space = " ".repeat(gap);
  return rows
    .map((row) => {
      const cells = row.map((cell, i) =>
        i < row.length - 1 || fillLast ? cell.padEnd(widths[i] ?? 0) : cell,
      );
      return `${cells.join(space)}\n`;
    })
    .join("");
}
