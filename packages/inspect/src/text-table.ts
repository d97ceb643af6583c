/**
 * Lines of columns that are as wide as their widest cell and `gap` spaces, but never narrower than
 * `minWidth` with them. The last column is not filled up.
 */
export function textTable(
  rows: readonly (readonly string[])[],
  { gap, minWidth = 0 }: { readonly gap: number; readonly minWidth?: number },
): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? minWidth, cell.length + gap);
    });
  }
  const filled = (row: readonly string[]): string =>
    row.map((cell, i) => (i < row.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell)).join("");
  return rows.map((row) => `${filled(row)}\n`).join("");
}
