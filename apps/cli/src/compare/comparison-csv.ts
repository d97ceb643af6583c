import { csvField } from "../csv.ts";
import type { CniData, ComparisonData } from "./comparison-data.ts";

/** A line for each figure, a column for each CNI (RFC 4180); figures are named by their way through the JSON. */
export function comparisonCsv({ cnis }: ComparisonData): string {
  const columns = cnis.map((cni) => new Map(figures(cni)));
  const names = new Set(columns.flatMap((column) => [...column.keys()]));
  const head = ["figure", ...cnis.map(({ name }) => name)];
  const rows = [...names].map((name) => [name, ...columns.map((column) => column.get(name) ?? "")]);
  return [head, ...rows].map((row) => row.map(csvField).join(",")).join("\n");
}

/** Everything that is one value. */
function* figures({
  name: _,
  options: __,
  warnings: ___,
  ...cni
}: CniData): Iterable<[string, string]> {
  yield* leaves(cni, "");
}

function* leaves(value: unknown, path: string): Iterable<[string, string]> {
  if (Array.isArray(value)) {
    if (value.every((each) => typeof each === "string")) yield [path, value.join(" ")];
  } else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      yield* leaves(inner, path === "" ? key : `${path}.${key}`);
    }
  } else yield [path, String(value)];
}
