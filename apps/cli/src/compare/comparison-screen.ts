import { wrap } from "../text-layout.ts";
import type { Comparison } from "./comparison.ts";
import { comparisonRows, type RowGroup } from "./comparison-rows.ts";
import { explanations } from "./explanations.ts";
import { askedText, headOf, optionTexts, titleText } from "./heading.ts";
import { shortNames } from "./names-in-text.ts";

/** Columns of a screen at a talk. */
const WIDTH = 120;
const GAP = 2;

/** The table, in blocks of as many CNIs as fit beside each other, and why it is as it is. */
export function comparisonScreen(comparison: Comparison): string {
  const groups = comparisonRows(comparison);
  const labels = Math.max(
    ...groups.flatMap(({ rows }) => rows.map(({ label }) => label.length + 2)),
  );
  const widths = comparison.findings.map((finding, i) =>
    Math.max(
      headOf(finding).length,
      ...groups.flatMap(({ rows }) => rows.map(({ cells }) => cells[i]?.length ?? 0)),
    ),
  );
  const short = shortNames(comparison.sample.pairs);
  const blocks = blocksOf(widths, WIDTH - labels);
  return [
    ...[titleText(comparison), ...optionTexts(comparison), askedText(comparison, short)].flatMap(
      (text) => (text === "" ? [] : wrap(text, "  ", undefined, WIDTH)),
    ),
    ...blocks.flatMap((block) => table(comparison, groups, block, labels, widths)),
    "Why",
    ...explanations(comparison, short).flatMap(({ topic, text }) =>
      wrap(`  ${topic}: ${text}`, "    ", undefined, WIDTH),
    ),
  ].join("\n");
}

/** Indexes of columns, by what fits. */
function blocksOf(widths: readonly number[], room: number): number[][] {
  const blocks: number[][] = [];
  let used = 0;
  widths.forEach((width, i) => {
    const block = blocks.at(-1);
    if (block === undefined || used + GAP + width > room) {
      blocks.push([i]);
      used = GAP + width;
    } else {
      block.push(i);
      used += GAP + width;
    }
  });
  return blocks;
}

function table(
  { findings }: Comparison,
  groups: readonly RowGroup[],
  block: readonly number[],
  labels: number,
  widths: readonly number[],
): string[] {
  const line = (label: string, cells: readonly (string | undefined)[]) =>
    [label.padEnd(labels), ...block.map((i) => (cells[i] ?? "").padEnd(widths[i] ?? 0))]
      .join(" ".repeat(GAP))
      .trimEnd();
  return [
    line("", findings.map(headOf)),
    ...groups.flatMap(({ title: heading, rows }) => [
      heading,
      ...rows.map(({ label, cells }) => line(`  ${label}`, cells)),
    ]),
  ].filter((text) => text !== "");
}
