// @ts-check
import { readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";

/**
 * @typedef {object} Task of turbo's run summary
 * @property {string} taskId `@cnilab/net#test`, `//#lint`
 * @property {string} task
 * @property {string} directory
 * @property {string} command
 * @property {string} logFile
 * @property {{ status: "HIT" | "MISS" }} cache
 * @property {{ startTime: number, exitCode?: number }} [execution] absent where something it depends on failed
 *
 * @typedef {{ passed: number, failed: number, skipped: string[] }} Counts of tests; skipped ones by name
 *
 * @typedef {{ name: string, status: string, assertionResults: { fullName: string, status: string }[] }} TestFile
 *   of the report that vitest's JSON reporter writes
 */

/**
 * Adds up the tests of all tasks. A task that failed with no failed test to show for it (a type error, a crash) counts
 * as one failure, and so does a test task that succeeded without a report.
 * @param {string} root @param {Task[]} tasks
 * @returns {Counts}
 */
export function addUp(root, tasks) {
  /** @type {Counts} */
  const total = { passed: 0, failed: 0, skipped: [] };
  for (const task of tasks) {
    const counts = task.task === "test" ? countTests(root, task) : undefined;
    const owed = hasFailed(task) || (task.task === "test" && task.execution && !counts);
    total.passed += counts?.passed ?? 0;
    total.failed += counts?.failed || (owed ? 1 : 0);
    total.skipped.push(...(counts?.skipped ?? []));
  }
  return total;
}

/** @param {Task} task */
export function hasFailed({ execution }) {
  return execution !== undefined && execution.exitCode !== 0;
}

/** @param {Counts} counts */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
}

/**
 * @param {string} root @param {Task} task
 * @returns {Counts | undefined} undefined where this run of the task left no report
 */
function countTests(root, { directory, cache, execution }) {
  const path = join(root, directory, ".report", "vitest.json");
  /** @type {{ testResults: TestFile[] }} */
  let report;
  try {
    // Turbo has put back the report of a cached task. One that crashed leaves that of an earlier run lying there.
    const isOld = statSync(path).mtimeMs < (execution?.startTime ?? Number.POSITIVE_INFINITY);
    if (cache.status === "MISS" && isOld) return undefined;
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: [] };
  for (const { name, status, assertionResults } of report.testResults) {
    const failed = assertionResults.filter((test) => test.status === "failed").length;
    // A file can fail with none of its tests: it does not load, or a hook throws.
    counts.failed += status === "failed" ? Math.max(failed, 1) : failed;
    for (const test of assertionResults) {
      if (test.status === "passed") counts.passed++;
      else if (test.status !== "failed") {
        counts.skipped.push(`${relative(root, name)}: ${test.fullName}`);
      }
    }
  }
  return counts;
}
