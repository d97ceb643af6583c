import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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
    if (HASHED.has(name)) return entries.filter((e) => !isStranger(e)).sort();
    if (!name.startsWith("routes")) return entries;
    return sortedTwins(entries.filter(isListed), (e) => JSON.parse(e).dst);
  }
  const normal = normaliseText(text);
  if (HASHED.has(name)) {
    const lines = normal.split("\n").filter((line) => !isStranger(line));
    return sortedLines(lines.join("\n"));
  }
  return name.startsWith("routes")
    ? sortedTwins(normal.split("\n"), (line) => line.split(" dev ")[0] ?? "")
    : normal;
}

/** Neighbours that the real kernels at both ends of a cable find by themselves after a while. */
function isStranger(entry: string): boolean {
  return /^(\{"dst":")?fe80::/.test(entry);
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
  if (process.env["RECORD_FIXTURES"] !== undefined) record(real);
  it.skipIf(reason !== undefined).each(VIEWS)("$name: $command", ({ name }) => {
    const model = MODEL_VIEWS[name]?.(modelScenario()) ?? "";
    expect(comparable(name, model)).toEqual(comparable(name, real.get(name) ?? ""));
  });
});

/** Keeps what the real tools printed: `RECORD_FIXTURES=1 npx vitest run test/iproute.test.ts` as root. */
function record(real: ReadonlyMap<string, string>): void {
  mkdirSync(FIXTURES, { recursive: true });
  for (const [name, text] of real) {
    const json = name.endsWith("-json");
    const written = json ? `${JSON.stringify(JSON.parse(text), null, 1)}\n` : normaliseText(text);
    writeFileSync(new URL(`${name}.${json ? "json" : "txt"}`, FIXTURES), written);
  }
}
