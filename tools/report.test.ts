import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { addUp } from "./report.mjs";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "report-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const START = 1_000_000;

function writeReport(statuses: string[], fileStatus = "passed", writtenAt = START + 1): void {
  const folder = join(root, "p", ".report");
  mkdirSync(folder, { recursive: true });
  const assertionResults = statuses.map((status, i) => ({ fullName: `case ${i}`, status }));
  const testResults = [{ name: join(root, "p/a.test.ts"), status: fileStatus, assertionResults }];
  writeFileSync(join(folder, "vitest.json"), JSON.stringify({ testResults }));
  utimesSync(join(folder, "vitest.json"), writtenAt / 1000, writtenAt / 1000);
}

const task = (name: string, status: "HIT" | "MISS", exitCode?: number) => ({
  taskId: `p#${name}`,
  task: name,
  directory: "p",
  command: "x",
  logFile: "x",
  cache: { status },
  ...(exitCode === undefined ? {} : { execution: { startTime: START, exitCode } }),
});

test("counts passed, failed and skipped tests", () => {
  writeReport(["passed", "passed", "failed", "skipped", "todo", "pending"], "failed");
  expect(addUp(root, [task("test", "MISS", 1)])).toEqual({
    passed: 2,
    failed: 1,
    skipped: ["p/a.test.ts: case 3", "p/a.test.ts: case 4", "p/a.test.ts: case 5"],
  });
});

test.each([
  // what, report, task → passed, failed
  ["a file that does not load", () => writeReport([], "failed"), task("test", "MISS", 1), 0, 1],
  ["an error outside any test", () => writeReport(["passed"]), task("test", "MISS", 1), 1, 1],
  ["a crash before any report", () => {}, task("test", "MISS", 1), 0, 1],
  [
    "a crash over an old report",
    () => writeReport(["passed"], "passed", 1),
    task("test", "MISS", 1),
    0,
    1,
  ],
  ["success without a report", () => {}, task("test", "MISS", 0), 0, 1],
  [
    "a report out of the cache",
    () => writeReport(["passed"], "passed", 1),
    task("test", "HIT", 0),
    1,
    0,
  ],
  ["a test task not run", () => writeReport(["passed"], "passed", 1), task("test", "MISS"), 0, 0],
  ["a type error", () => {}, task("typecheck", "MISS", 2), 0, 1],
  ["a build that passed", () => {}, task("build", "MISS", 0), 0, 0],
] as const)("%s", (_, report, of, passed, failed) => {
  report();
  expect(addUp(root, [of])).toEqual({ passed, failed, skipped: [] });
});
