/// <reference types="node" />
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import type { Expected, Input } from "../replay/case.ts";
import { replay } from "../replay/replay.ts";

/** Replays what three real flanneld did on a real kernel; see README.md in the folder of the vectors. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const name of readdirSync(folder).sort()) {
    if (existsSync(join(folder, name, "input.json"))) yield runCase(name, join(folder, name));
  }
}

function runCase(name: string, folder: string): VectorCase {
  const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, file), "utf8"));
  try {
    const found = replay(read("input.json") as Input, read("expected.json") as Expected);
    if (found.length === 0) return { name, outcome: "passed" };
    return { name, outcome: "failed", detail: found.join("\n") };
  } catch (error) {
    return { name, outcome: "failed", detail: (error as Error).stack ?? String(error) };
  }
}
