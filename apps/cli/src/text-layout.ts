/** Columns of a terminal that people have at least, with some room. */
export const WIDTH = 100;

/** Breaks a line between words, or where `at` says; what is broken off is indented. */
export function wrap(text: string, indent: string, at: RegExp = /(?<=\S) /): string[] {
  const lines: string[] = [];
  const [start = "", ...words] = text.split(at);
  let line = start;
  for (const word of words) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent + word;
    } else line += ` ${word}`;
  }
  return [...lines, line].map(clip);
}

/** Cuts what no terminal would show on one line. */
export function clip(line: string): string {
  return line.length <= WIDTH ? line : `${line.slice(0, WIDTH - 1)}…`;
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
