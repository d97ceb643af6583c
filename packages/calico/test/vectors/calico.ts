import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import { runBlockOrder } from "../golden/block-order.ts";
import { felixScenario } from "../golden/felix-scenarios.ts";
import type { GoldenRun } from "../golden/golden-run.ts";
import { runIpamScenario } from "../golden/ipam-scenarios.ts";
import { names } from "../golden/names.ts";
import { policyAnalysis } from "../golden/policy-analysis.ts";
import { policyConversion } from "../golden/policy-conversion.ts";
import { policyWalk } from "../golden/policy-walk.ts";
import { routes } from "../golden/routes.ts";
import { selectors } from "../golden/selectors.ts";
import { staticChains } from "../golden/static-chains.ts";

/** What runs a line of each file. */
// biome-ignore lint/suspicious/noExplicitAny: each file has lines of its own form
const RUNS: Readonly<Record<string, GoldenRun<any>>> = {
  "block-order": runBlockOrder,
  "felix-scenarios": felixScenario,
  "ipam-scenarios": runIpamScenario,
  names,
  routes,
  "policy-conversion": policyConversion,
  "policy-flows": (vector, folder) => policyAnalysis(vector, folder) ?? policyWalk(vector, folder),
  selectors,
  "static-chains": staticChains,
};

/** Outputs of the real Calico code. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const [name, run] of Object.entries(RUNS)) {
    const file = join(folder, `${name}.ndjson`);
    if (!existsSync(file)) continue;
    const lines = readFileSync(file, "utf8").split("\n");
    for (const [i, line] of lines.entries()) {
      if (line !== "") yield outcome(`${name}:${i + 1}`, () => run(JSON.parse(line), folder));
    }
  }
}

function outcome(name: string, run: () => string | undefined): VectorCase {
  let detail: string | undefined;
  try {
    detail = run();
  } catch (error) {
    detail = (error as Error).stack ?? String(error);
  }
  return detail === undefined ? { name, outcome: "passed" } : { name, outcome: "failed", detail };
}
