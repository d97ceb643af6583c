import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import { cidrLabels } from "../golden/cidr-labels.ts";
import type { GoldenRun } from "../golden/golden-run.ts";
import { hubblePrint, monitorTables } from "../golden/hubble.ts";
import { labelFilter } from "../golden/label-filter.ts";
import { labelKeys } from "../golden/label-keys.ts";
import { maglev, murmur } from "../golden/maglev.ts";
import { policy } from "../golden/policy.ts";
import { cidrSelectors, selectors } from "../golden/selectors.ts";
import { fqdnPatterns, identityRanges, ifnames, mtu, portRanges } from "../golden/small-suites.ts";

/** What runs the cases of a suite; the file says which suite it is. */
// biome-ignore lint/suspicious/noExplicitAny: each suite has cases of its own form
const RUNS: Readonly<Record<string, GoldenRun<any, any>>> = {
  "label-filter": labelFilter,
  "label-keys": labelKeys,
  selectors,
  "cidr-selectors": cidrSelectors,
  "cidr-labels": cidrLabels,
  "identity-ranges": identityRanges,
  "port-ranges": portRanges,
  ifnames,
  mtu,
  "fqdn-patterns": fqdnPatterns,
  "policy-basic": policy,
  "policy-l4": policy,
  "policy-deny": policy,
  "policy-cidr": policy,
  "policy-entities": policy,
  "policy-l7": policy,
  "policy-k8s": policy,
  maglev,
  murmur3: murmur,
  "hubble-print": hubblePrint,
  "monitor-tables": monitorTables,
};

interface VectorFile {
  readonly suite: string;
  readonly common?: unknown;
  readonly cases: readonly { readonly name: string }[];
}

/** Outputs of the real Cilium code. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  for (const file of globSync("*.json", { cwd: folder }).sort()) {
    const vectors = JSON.parse(readFileSync(join(folder, file), "utf8")) as VectorFile;
    const run = RUNS[vectors.suite];
    if (run === undefined) continue;
    for (const each of vectors.cases) {
      yield outcome(`${vectors.suite}/${each.name}`, () =>
        run({ suite: vectors.suite, common: vectors.common, case: each }),
      );
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
