/** Columns of a terminal that people have at least, with some room. */
export const WIDTH = 100;

/** Breaks a line between words, or where `at` says; what is broken off is indented. */
export function wrap(
  text: string,
  indent: string,
  at: RegExp = /(?<=\S) /,
  width: number = WIDTH,
): string[] {
  const lines: string[] = [];
  const [start = "", ...words] = text.split(at);
  let line = start;
  for (const word of words) {
    if (line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line += ` ${word}`;
  }
  return [...lines, line].map((each) => clip(each, width));
}

/** Cuts what no terminal would show on one line. */
export function clip(line: string, width: number = WIDTH): string {
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
}

/** The first lines, and what to say instead of the rest. */
export function list(lines: readonly string[], most: number, rest: string): string[] {
  return lines.length <= most ? [...lines] : [...lines.slice(0, most - 1), rest];
}

/** Rows with their cells below each other. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => r[i]?.length ?? 0)));
  return rows.map((r) =>
    clip(
      r
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    ),
  );
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
