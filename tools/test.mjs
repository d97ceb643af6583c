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
/** Tasks worth a line when they start; tests get one when they end, and the others are many and short. */
const SHOWN = /^\/\/#|#docs$/;
/** Milliseconds without a line before one says what is running. */
const QUIET_MS = 30_000;
/** No task is silent for so long: it hangs. Tests have limits of their own (stall-watch.ts), far below this one. */
const STALLED_MS = 10 * 60_000;

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
  for (const line of skippedLines(total.skipped)) console.log(line);
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
      "--output-logs=new-only",
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
  const progress = new Progress(() => child.kill());
  /** @type {string[]} */
  const said = [];
  let summaryFile = "";
  createInterface(child.stdout).on("line", (line) => {
    const { source, text } = parseEvent(line);
    progress.heard(source, text);
    if (source === "turbo") said.push(text);
    summaryFile = /^\s*Summary:\s+(.*\S)/.exec(text)?.[1] ?? summaryFile;
  });
  createInterface(child.stderr).on("line", (line) => said.push(line));
  const exitCode = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  progress.end();
  if (interrupted) process.exit(130);
  if (!summaryFile) return { exitCode, tasks: undefined, said };
  /** @type {{ tasks: Task[] }} */
  const summary = JSON.parse(readFileSync(summaryFile, "utf8"));
  rmSync(summaryFile);
  const tasks = summary.tasks.filter(({ command }) => command !== "<NONEXISTENT>");
  return { exitCode, tasks, said };
}

/** Prints a line now and then, so that nobody has to wonder. */
class Progress {
  #started = Date.now();
  #heardAt = Date.now();
  #printedAt = Date.now();
  /** @type {Set<string>} */
  #testing = new Set();
  #timer;

  /** @param {() => void} stop called when nothing is heard for too long */
  constructor(stop) {
    this.#timer = setInterval(() => this.#look(stop), 1000);
  }

  /** @param {string} source task, or `turbo` @param {string} text a line that it printed */
  heard(source, text) {
    this.#heardAt = Date.now();
    const begins = /^cache (miss|bypass)/.test(text);
    if (begins && SHOWN.test(source)) this.#print(nameOf(source));
    if (!source.endsWith("#test")) return;
    if (begins) this.#testing.add(source);
    const sum = /^\s*Tests\s+(.*?)\s*\(\d+\)$/.exec(stripVTControlCharacters(text))?.[1];
    if (sum === undefined) return;
    this.#testing.delete(source);
    this.#print(`${nameOf(source)}: ${sum}`);
  }

  end() {
    clearInterval(this.#timer);
  }

  /** @param {() => void} stop */
  #look(stop) {
    const now = Date.now();
    if (now - this.#heardAt > STALLED_MS) {
      this.#print(`Stopped: nothing heard for ${STALLED_MS / 60_000} minutes.`);
      this.end();
      stop();
    } else if (now - this.#printedAt > QUIET_MS) {
      const tests = [...this.#testing].map(nameOf).join(", ");
      this.#print(
        `still at it after ${Math.round((now - this.#started) / 1000)} s${tests && `: ${tests}`}`,
      );
    }
  }

  /** @param {string} line */
  #print(line) {
    this.#printedAt = Date.now();
    console.log(`  ${line}`);
  }
}

/**
 * Up to three tests of each file: what is missing on a machine is the same for all of a file's.
 * @param {string[]} names `FILE: TEST`
 */
function skippedLines(names) {
  /** @type {Map<string, string[]>} */
  const byFile = new Map();
  for (const name of names) {
    const [file = "", ...rest] = name.split(": ");
    const tests = byFile.get(file) ?? [];
    byFile.set(file, tests);
    tests.push(rest.join(": ").split("\n")[0] ?? "");
  }
  const lines = names.length > 0 ? ["Skipped:"] : [];
  for (const [file, tests] of byFile) {
    const shown = tests.length > 4 ? tests.slice(0, 3) : tests;
    for (const test of shown) lines.push(`  ${file}: ${test}`);
    if (shown.length < tests.length) {
      lines.push(`  ${file}: and ${tests.length - shown.length} more`);
    }
  }
  return lines;
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
