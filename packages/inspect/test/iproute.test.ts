import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { normaliseJson, normaliseText, sortedLines, sortedTwins } from "./normalise.ts";
import { askRealTools, whyNoRealTools } from "./real-tools.ts";
import { modelScenario, VIEWS } from "./scenario.ts";
import { MODEL_VIEWS } from "./scenario-views.ts";

/** Views whose order in the kernel is that of a hash. */
const HASHED: ReadonlySet<string> = new Set(["fdb", "fdb-json", "neigh", "neigh-json"]);
const FIXTURES = new URL("fixtures/iproute2-6.1/", import.meta.url);

function comparable(name: string, text: string): unknown {
  if (name.endsWith("-json")) {
    const entries = (normaliseJson(JSON.parse(text)) as object[]).map((e) => JSON.stringify(e));
    if (HASHED.has(name)) return entries.sort();
    if (!name.startsWith("routes")) return entries;
    return sortedTwins(entries.filter(isListed), (e) => JSON.parse(e).dst);
  }
  const normal = normaliseText(text);
  if (HASHED.has(name)) return sortedLines(normal);
  return name.startsWith("routes")
    ? sortedTwins(normal.split("\n"), (line) => line.split(" dev ")[0] ?? "")
    : normal;
}

/** Kernels up to 6.3 or so had this route as well. */
function isListed(route: string): boolean {
  const { dst, type } = JSON.parse(route);
  return dst !== "::1" || type === "local";
}

describe("views print what iproute2 6.1 printed of the same state", () => {
  it.each(VIEWS)("$name: $command", ({ name }) => {
    const file = new URL(`${name}.${name.endsWith("-json") ? "json" : "txt"}`, FIXTURES);
    const model = MODEL_VIEWS[name]?.(modelScenario()) ?? "";
    expect(comparable(name, model)).toEqual(comparable(name, readFileSync(file, "utf8")));
  });
});

const reason = whyNoRealTools();
describe(`views print what the real tools print here${reason === undefined ? "" : ` (${reason})`}`, () => {
  const real = reason === undefined ? askRealTools() : new Map<string, string>();
  it.skipIf(reason !== undefined).each(VIEWS)("$name: $command", ({ name }) => {
    const model = MODEL_VIEWS[name]?.(modelScenario()) ?? "";
    expect(comparable(name, model)).toEqual(comparable(name, real.get(name) ?? ""));
  });
});
