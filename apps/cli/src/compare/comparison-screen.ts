import { wrap } from "../text-layout.ts";
import type { Comparison } from "./comparison.ts";
import { comparisonRows, type RowGroup } from "./comparison-rows.ts";
import { explanations } from "./explanations.ts";
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
  const widths = comparison.findings.map(({ cni }, i) =>
    Math.max(
      cni.label.length,
      cni.release.length,
      ...groups.flatMap(({ rows }) => rows.map(({ cells }) => cells[i]?.length ?? 0)),
    ),
  );
  const { pairs } = comparison.sample;
  const short = shortNames(pairs.flatMap(({ source, destination }) => [source, destination]));
  const blocks = blocksOf(widths, WIDTH - labels);
  return [
    ...title(comparison),
    ...asked(comparison, short),
    ...blocks.flatMap((block) => table(comparison, groups, block, labels, widths)),
    "Why",
    ...explanations(comparison, short).flatMap((text) =>
      wrap(`  ${text}`, "    ", undefined, WIDTH),
    ),
  ].join("\n");
}

function title({ findings }: Comparison): string[] {
  const [first] = findings;
  if (first === undefined) return [];
  const { nodes, pods, services } = first.size;
  const { total } = first.policies;
  const by = [...new Set(findings.map(({ size }) => size.servicesBy))];
  const proxy = by.length === 1 ? `; Services by ${by[0]}` : "";
  return wrap(
    `The same input on ${findings.length} CNIs: ${pods} pods on ${nodes} nodes, ${services} Services, ${total} policies${proxy}`,
    "  ",
    undefined,
    WIDTH,
  );
}

/** Which of all pairs and Services the figures are of. */
function asked(
  { sameNode, acrossNodes, nodePort }: Comparison,
  short: (text: string) => string,
): string[] {
  const service = acrossNodes?.found.find((walk) => walk?.service !== undefined)?.service?.name;
  const parts = [
    ...(sameNode === undefined ? [] : [`${sameNode.name} (same node)`]),
    ...(acrossNodes === undefined ? [] : [`${acrossNodes.name} (other node)`]),
    ...(service === undefined ? [] : [`Service ${service}`]),
    ...(nodePort === undefined ? [] : [`a NodePort of ${nodePort.name}`]),
  ];
  return parts.length === 0
    ? []
    : wrap(`Measured: ${parts.map(short).join(", ")}`, "  ", undefined, WIDTH);
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
    line(
      "",
      findings.map(({ cni }) => cni.label),
    ),
    line(
      "",
      findings.map(({ cni }) => cni.release),
    ),
    ...groups.flatMap(({ title: heading, rows }) => [
      heading,
      ...rows.map(({ label, cells }) => line(`  ${label}`, cells)),
    ]),
  ].filter((text) => text !== "");
}
