// @ts-check
// `npm test`: every check of the workspace in one turbo run, and one closing line that adds them up.

import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import { endWithNpm } from "./child.mjs";
import { root, toolEnvironment } from "./environment.mjs";
import { machineFingerprint } from "./machine.mjs";
import { addUp, closingLine, hasFailed } from "./report.mjs";

/** @typedef {import("./report.mjs").Task} Task */

const TASKS = [
  "//#lint",
  "//#knip",
  "//#typecheck",
  "typecheck",
  "build",
  "test",
  "docs",
  "pack:check",
];
/** Tasks worth a line when they start; the others are many and short. */
const SHOWN = /^\/\/#|#(test|docs)$/;

/**
 * @param {string[]} args further arguments of turbo, such as `--filter=@cnilab/net` or `--force`
 * @returns {Promise<number>} exit code
 */
export async function test(args) {
  const { exitCode, tasks, said } = await turbo(args);
  if (tasks === undefined) {
    for (const line of said) console.log(line);
    console.log(closingLine({ passed: 0, failed: 1, skipped: [] }));
    return 1;
  }
  const total = addUp(root, tasks);
  for (const task of tasks.filter(hasFailed)) {
    console.log(`\n──── ${nameOf(task.taskId)} failed ────`);
    const log = readFileSync(join(root, task.logFile), "utf8").trim();
    console.log(process.stdout.isTTY ? log : stripVTControlCharacters(log));
  }
  console.log();
  if (total.skipped.length > 0) console.log("Skipped:");
  for (const name of total.skipped) console.log(`  ${name}`);
  console.log(taskLine(tasks));
  if (exitCode !== 0 && total.failed === 0) {
    for (const line of said) console.log(line);
    total.failed++;
  }
  console.log(closingLine(total));
  return total.failed > 0 ? 1 : 0;
}

/**
 * Runs turbo, saying where it is. What tasks print stays in their log files; what turbo itself has to say is returned.
 * @param {string[]} args
 */
async function turbo(args) {
  const child = spawn(
    "turbo",
    [
      "run",
      ...TASKS,
      "--continue=dependencies-successful",
      `--concurrency=${Math.min(availableParallelism(), 8)}`,
      "--output-logs=hash-only",
      "--json",
      "--summarize",
      ...args,
    ],
    {
      cwd: root,
      env: {
        ...toolEnvironment(),
        CNILAB_MACHINE: machineFingerprint(),
        TURBO_TELEMETRY_DISABLED: "1",
        TURBO_NO_UPDATE_NOTIFIER: "1",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  endWithNpm(child);
  let interrupted = false;
  process.on("SIGINT", () => {
    interrupted = true; // the terminal tells turbo too, and turbo its tasks
  });
  /** @type {string[]} */
  const said = [];
  let summaryFile = "";
  createInterface(child.stdout).on("line", (line) => {
    const { source, text } = parseEvent(line);
    if (source === "turbo") said.push(text);
    else if (/^cache miss/.test(text) && SHOWN.test(source)) console.log(`  ${nameOf(source)}`);
    summaryFile = /^\s*Summary:\s+(.*\S)/.exec(text)?.[1] ?? summaryFile;
  });
  createInterface(child.stderr).on("line", (line) => said.push(line));
  const exitCode = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  if (interrupted) process.exit(130);
  if (!summaryFile) return { exitCode, tasks: undefined, said };
  /** @type {{ tasks: Task[] }} */
  const summary = JSON.parse(readFileSync(summaryFile, "utf8"));
  rmSync(summaryFile);
  const tasks = summary.tasks.filter(({ command }) => command !== "<NONEXISTENT>");
  return { exitCode, tasks, said };
}

/** @param {Task[]} tasks */
function taskLine(tasks) {
  const cached = tasks.filter(({ cache }) => cache.status === "HIT").length;
  const notRun = tasks.filter(({ execution }) => execution === undefined);
  return (
    `${tasks.length} tasks, ${cached} of them unchanged since they last passed` +
    (notRun.length > 0 ? `; not run: ${notRun.map((task) => nameOf(task.taskId)).join(", ")}` : "")
  );
}

/** @param {string} taskId `@cnilab/net#test` or `//#lint` */
function nameOf(taskId) {
  return taskId.replace("//#", "").replace("#", " ");
}

/** @param {string} line @returns {{ source: string, text: string }} */
function parseEvent(line) {
  try {
    return JSON.parse(line);
  } catch {
    return { source: "turbo", text: line };
  }
}
