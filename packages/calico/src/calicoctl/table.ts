/** A column of {@link prettyTable}. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** A table in the default style of go-pretty, which calicoctl prints with: titles to the left whatever their column's cells do. */
export function prettyTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const cells = (texts: readonly string[], align: (i: number) => Column["align"]) =>
    `|${texts
      .map((text, i) => {
        const width = widths[i] as number;
        return ` ${align(i) === "right" ? text.padStart(width) : text.padEnd(width)} `;
      })
      .join("|")}|`;
  const titles = cells(
    columns.map(({ title }) => title),
    () => "left",
  );
  const body = rows.map((row) => cells(row, (i) => columns[i]?.align));
  return [line, titles, line, ...body, ...(body.length > 0 ? [line] : [])].join("\n");
}
