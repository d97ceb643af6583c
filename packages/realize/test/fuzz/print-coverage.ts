// How much of the model random networks reach, folder by folder. The kernel is not asked, so it needs no root:
//   npm run fuzz:coverage -- [--seed S] [--topologies N] [--flows N] [--files] [--unreached FILE]

import { readdirSync, readFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { readOptions } from "../command-line.ts";

const values = readOptions("fuzz:coverage", {
  seed: { type: "string", default: "1" },
  topologies: { type: "string", default: "400" },
  flows: { type: "string", default: "12" },
  /** Of each file, not of each folder. */
  files: { type: "boolean", default: false },
  /** Prints the lines of a file that were not reached. */
  unreached: { type: "string" },
});

const MODEL = fileURLToPath(new URL("../../../linux/src/", import.meta.url));

/** What V8 saw of one file: its functions, and the branches in them (`Profiler.takePreciseCoverage`). */
interface Reached {
  functions: number;
  functionsReached: number;
  branches: number;
  branchesReached: number;
  lines: number;
  linesReached: number;
}

type FunctionCoverage = Awaited<ReturnType<typeof coverage>>[number]["functions"][number];

/** Runs the model through random networks, and counts. */
async function coverage() {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const { generate } = await import("./generate.ts");
  const { Model } = await import("./model.ts");
  for (let number = 0; number < Number(values.topologies); number++) {
    const steps = generate(Number(values.seed) * 1_000_003 + number, Number(values.flows));
    const model = new Model(steps);
    if (model.frames.length > 0) model.counters(10, 200);
    else model.verdicts();
  }
  const { result } = await session.post("Profiler.takePreciseCoverage");
  session.disconnect();
  return result;
}

function reachedOf(text: string, functions: readonly FunctionCoverage[]): Reached {
  const all = functions.flatMap(({ ranges, isBlockCoverage }) =>
    // The first range is the function itself; those in it are branches that ran more or less often than it.
    isBlockCoverage ? ranges.slice(1) : [],
  );
  const named = functions.filter(({ functionName }) => functionName !== "");
  const lines = codeLines(text);
  const missed = lines.filter(({ start, end }) => isMissed(functions, start, end));
  return {
    functions: named.length,
    functionsReached: named.filter(({ ranges }) => (ranges[0]?.count ?? 0) > 0).length,
    branches: all.length,
    branchesReached: all.filter(({ count }) => count > 0).length,
    lines: lines.length,
    linesReached: lines.length - missed.length,
  };
}

interface Line {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** Lines that are more than brackets and comments. */
function codeLines(text: string): Line[] {
  const found: Line[] = [];
  let at = 0;
  for (const [i, line] of text.split("\n").entries()) {
    const bare = line.trim();
    const start = at + line.indexOf(bare);
    if (/[a-z0-9]/i.test(bare) && !/^(\/\/|\/?\*)/.test(bare)) {
      found.push({ number: i + 1, start, end: start + bare.length });
    }
    at += line.length + 1;
  }
  return found;
}

/** Whether the innermost range around a line never ran. */
function isMissed(functions: readonly FunctionCoverage[], start: number, end: number): boolean {
  let size = Number.POSITIVE_INFINITY;
  let count = 1;
  for (const { ranges } of functions) {
    for (const range of ranges) {
      const length = range.endOffset - range.startOffset;
      if (range.startOffset <= start && range.endOffset >= end && length <= size) {
        size = length;
        count = range.count;
      }
    }
  }
  return count === 0;
}

function add(x: Reached | undefined, y: Reached): Reached {
  if (x === undefined) return { ...y };
  for (const key of Object.keys(y) as (keyof Reached)[]) x[key] += y[key];
  return x;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "—" : `${Math.round((100 * part) / whole)} %`;
}

function row(name: string, of: Reached): string {
  return `| ${name} | ${percent(of.linesReached, of.lines)} of ${of.lines} | ${percent(of.functionsReached, of.functions)} of ${of.functions} | ${percent(of.branchesReached, of.branches)} of ${of.branches} |`;
}

const byFile = new Map<string, Reached>();
const scripts = await coverage();
for (const { url, functions } of scripts) {
  const path = url.startsWith("file:") ? fileURLToPath(url) : "";
  if (!path.startsWith(MODEL)) continue;
  const file = relative(MODEL, path);
  const text = readFileSync(path, "utf8");
  byFile.set(file, reachedOf(text, functions));
  if (file !== values.unreached) continue;
  for (const { number, start, end } of codeLines(text)) {
    if (isMissed(functions, start, end)) console.log(`${number}: ${text.slice(start, end)}`);
  }
}

const byFolder = new Map<string, Reached>();
for (const [file, reached] of [...byFile].sort()) {
  const name = values.files ? file : dirname(file);
  byFolder.set(name, add(byFolder.get(name), reached));
}
const total = [...byFile.values()].reduce<Reached | undefined>(add, undefined);
const sources = readdirSync(MODEL, { recursive: true, encoding: "utf8" }).filter(
  (file) => file.endsWith(".ts") && !/\.(test|bench)\.ts$/.test(file),
);
const unloaded = sources.filter((file) => !byFile.has(file));

console.log("| `packages/linux/src` | lines | functions | branches |\n| --- | --- | --- | --- |");
for (const [name, reached] of byFolder) console.log(row(name === "." ? "itself" : name, reached));
if (total !== undefined) console.log(row("all", total));
console.log(
  `\n${values.topologies} topologies, seed ${values.seed}; not loaded: ${unloaded.length}`,
);
for (const file of unloaded) console.log(`  ${join("packages/linux/src", file)}`);
