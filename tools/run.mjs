// @ts-check
// Every npm script of the root that a user calls: sets up what is missing, then runs the command.
//   node tools/run.mjs start | cnilab | test | vectors | bench | fuzz-kernel | fuzz-vm | exec | pnpm [ARGS]

import { join } from "node:path";
import { pass } from "./child.mjs";
import { nodePath, root, SetUpFailure, talk, toolEnvironment } from "./environment.mjs";
import { setUp } from "./set-up.mjs";

/** @type {Record<string, (args: string[]) => Promise<number>>} */
const commands = {
  start: (args) => cnilab(args.length > 0 ? args : ["run"]),
  cnilab,
  test: async (args) => (await import("./test.mjs")).test(args),
  vectors: (args) => typescript("tools/vectors.ts", args),
  bench: (args) => typescript("tools/bench.ts", args),
  "fuzz-kernel": (args) => typescript("packages/realize/test/fuzz/main.ts", args),
  "fuzz-coverage": (args) => typescript("packages/realize/test/fuzz/print-coverage.ts", args),
  "fuzz-defects": (args) => typescript("packages/realize/test/defects/main.ts", args),
  "fuzz-vm": (args) => typescript("packages/realize/test/vm/main.ts", args),
  /** Any program of node_modules/.bin, with the project's Node. */
  exec: ([program = "node", ...args]) => pass(program, args, { cwd: root, env: toolEnvironment() }),
  /** The pinned pnpm, also where node_modules and the lock file disagree, which is what it is there to mend. */
  pnpm: (args) => pass("pnpm", args, { cwd: root, env: toolEnvironment() }),
};

const [name = "", ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (command === undefined) {
  talk(`There is no command "${name}"; there are: ${Object.keys(commands).join(", ")}.`);
  process.exitCode = 2;
} else {
  try {
    await setUp({ packages: name !== "pnpm" });
    process.exitCode = await command(args);
  } catch (error) {
    if (!(error instanceof SetUpFailure)) throw error;
    talk(error.message);
    for (const line of error.lines) talk(`  ${line}`);
    process.exitCode = 2;
  }
}

/** @param {string[]} args */
function cnilab(args) {
  return typescript("apps/cli/src/main.ts", args);
}

/** @param {string} file @param {string[]} args */
function typescript(file, args) {
  return pass(nodePath(), ["--disable-warning=ExperimentalWarning", join(root, file), ...args], {
    cwd: callersFolder(),
    // Keeps the compiled form of every source file, which is most of the start-up.
    env: { NODE_COMPILE_CACHE: join(root, ".tools", "compile-cache"), ...process.env },
  });
}

/** npm changes to the package's folder and leaves the caller's in INIT_CWD. */
function callersFolder() {
  return process.cwd() === root ? (process.env["INIT_CWD"] ?? root) : process.cwd();
}
