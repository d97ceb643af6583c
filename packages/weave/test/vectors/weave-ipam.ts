import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import { allocators } from "../golden/allocators.ts";
import type { GoldenOutcome } from "../golden/golden-outcome.ts";
import { meshRoutes } from "../golden/mesh-routes.ts";
import {
  addressRanges,
  claimForPeers,
  grant,
  merge,
  spaceRandom,
  transfer,
} from "../golden/rings.ts";

/** By the name of the file; every `allocator-…` is a script. */
// biome-ignore lint/suspicious/noExplicitAny: each file has a form of its own
const RUNS: Readonly<Record<string, (file: any) => Iterable<GoldenOutcome>>> = {
  "address-ranges": addressRanges,
  "ring-claim-for-peers": claimForPeers,
  "ring-grant": grant,
  "ring-merge": merge,
  "ring-transfer": transfer,
  "space-random": spaceRandom,
  "mesh-routes": meshRoutes,
};

/** Outputs of Weave's own IPAM and routing. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const file of globSync("*.json", { cwd: folder }).sort()) {
    const suite = file.replace(/\.json$/, "");
    const run = suite.startsWith("allocator-") ? allocators : RUNS[suite];
    if (run === undefined) {
      yield { name: suite, outcome: "failed", detail: "nobody knows this kind of file" };
      continue;
    }
    for (const each of run(JSON.parse(readFileSync(join(folder, file), "utf8")))) {
      const name = `${suite}/${each.name}`;
      yield each.difference === undefined
        ? { name, outcome: "passed" }
        : { name, outcome: "failed", detail: each.difference };
    }
  }
}
