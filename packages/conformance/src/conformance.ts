import type { CheckResult, Subject } from "./check.ts";
import { CHECKS } from "./checks.ts";
import { testCluster } from "./test-cluster.ts";

/** Runs every check, one after the other on one cluster, as what one leaves the next one meets. */
export async function* conformance(subject: Subject): AsyncIterable<CheckResult> {
  const cluster = await testCluster(subject);
  for (const check of CHECKS) {
    const problems = await check.run(cluster);
    yield { name: check.name, passed: problems.length === 0, problems };
  }
}
