// @ts-check
// The two steps of a set-up. Both run quietly, and a failure is told in the user's terms.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  cleanEnvironment,
  nodeIsNewEnough,
  nodePath,
  pnpmPath,
  root,
  SetUpFailure,
  talk,
  toolEnvironment,
  tools,
  windows,
} from "./environment.mjs";

/** @param {Record<string, string>} wanted */
export async function installTools(wanted) {
  if (process.platform === "linux" && !nodeIsNewEnough() && !usesGlibc()) {
    throw new SetUpFailure(
      `Node ${process.versions.node} is too old to run cnilab, and the Node that npm has needs glibc, ` +
        "which this Linux does not use: install Node 24 from your distribution and run this again.",
    );
  }
  // Into a folder of its own, so that an npm which outlived an interrupted set-up is not in the way of this one.
  const fresh = join(tools, `new-${process.pid}-${Date.now()}`);
  mkdirSync(fresh);
  writeFileSync(
    join(fresh, "package.json"),
    JSON.stringify({ private: true, dependencies: wanted }),
  );
  await run("npm", [
    "install",
    "--prefix",
    fresh,
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--ignore-scripts=false", // pnpm's own script links its native binary
    "--include=optional",
    "--loglevel=error",
    ...RETRY,
  ]);
  const place = join(tools, "node_modules");
  rmSync(place, { recursive: true, force: true });
  renameSync(join(fresh, "node_modules"), place);
  for (const name of readdirSync(tools)) if (name.startsWith("new-")) remove(join(tools, name));
  for (const [program, args] of /** @type {[string, string[]][]} */ ([
    [nodePath(), ["--version"]],
    [pnpmPath(), ["--version"]],
  ])) {
    const { status, stderr, error } = spawnSync(program, args, {
      encoding: "utf8",
      shell: windows,
      cwd: tools,
    });
    if (status !== 0) {
      throw new SetUpFailure(
        `${program} was downloaded but does not start on this machine: install Node 24 (https://nodejs.org) and ` +
          "run this again.",
        (stderr || String(error ?? "")).trim().split("\n").slice(0, 5),
      );
    }
  }
}

export async function installPackages() {
  const args = [
    "install",
    "--frozen-lockfile",
    "--reporter=append-only",
    "--config.confirm-modules-purge=false",
    ...RETRY.map((flag) => flag.replace("--", "--config.")),
  ];
  const fromStore = await attempt(pnpmPath(), [...args, "--offline"]);
  if (fromStore.status === 0) return;
  if (!/ERR_PNPM_NO_OFFLINE/.test(fromStore.output)) throw explain(pnpmPath(), fromStore);
  // Without a network pnpm would retry package after package, for minutes.
  const ping = await attempt("npm", ["ping", "--fetch-retries=0", "--fetch-timeout=15000"]);
  if (NO_NETWORK.test(ping.output)) throw explain("npm", ping);
  await run(pnpmPath(), [...args, "--prefer-offline"]);
}

/** npm's own default waits 70 seconds before it says that there is no network. */
const RETRY = [
  "--fetch-retries=2",
  "--fetch-retry-mintimeout=1000",
  "--fetch-retry-maxtimeout=4000",
];

/** @param {string} command @param {string[]} args */
async function run(command, args) {
  const result = await attempt(command, args);
  if (result.status !== 0) throw explain(command, result);
}

/**
 * Runs an installer quietly, keeping what it prints.
 * @param {string} command @param {string[]} args
 * @returns {Promise<Attempt>}
 * @typedef {{ status: number | null, output: string, error?: NodeJS.ErrnoException }} Attempt
 */
async function attempt(command, args) {
  // npm is the user's own and runs on the user's Node: ours may be what it is just installing.
  const env = command === "npm" ? cleanEnvironment() : toolEnvironment();
  // pnpm reads npm's files but not its variables.
  const registry = env["npm_config_registry"];
  const child = spawn(command, args, {
    cwd: root,
    env: registry === undefined ? env : { pnpm_config_registry: registry, ...env },
    shell: windows,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
  });
  child.stderr.on("data", (data) => {
    output += data;
  });
  const started = Date.now();
  const heartbeat = setInterval(() => {
    talk(`  still at it after ${Math.round((Date.now() - started) / 1000)} s`);
  }, 15_000);
  const stop = () => child.kill();
  process.once("exit", stop);
  try {
    return await new Promise((resolve) => {
      child.once("error", (error) => resolve({ status: null, output, error }));
      child.once("close", (status) => resolve({ status, output }));
    });
  } finally {
    clearInterval(heartbeat);
    process.removeListener("exit", stop);
  }
}

const NO_NETWORK =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|error sending request|(dns|connect) error|operation timed out/;

/** What a failing installer prints → what to do about it; the first that fits. */
const REMEDIES = /** @type {[RegExp, string][]} */ ([
  [
    /ENOSPC|EACCES|EPERM|EROFS|No space left|Permission denied|Read-only file system/,
    `${root} cannot be written to, or the disk is full: mend that and run this again.`,
  ],
  [
    /Failed to verify the integrity|EINTEGRITY/,
    "The registry gave a package that is not the one in pnpm-lock.yaml: if you changed that file, bring it back with " +
      "`git checkout pnpm-lock.yaml`; if not, do not trust that registry.",
  ],
  [
    NO_NETWORK,
    "The npm registry cannot be reached, and the first run downloads from it: check the network, a proxy, or the " +
      "registry that `npm config get registry` names, and run this again.",
  ],
  [
    /ERR_PNPM_(BROKEN|NO)_LOCKFILE/,
    "pnpm-lock.yaml is damaged or gone: bring it back with `git checkout pnpm-lock.yaml` and run this again.",
  ],
  [
    /ERR_PNPM_OUTDATED_LOCKFILE|Cannot install with "frozen-lockfile"/,
    "pnpm-lock.yaml does not fit the package.json files: run `npm run pnpm -- install` and commit the lock file.",
  ],
]);

/** @param {string} command @param {Attempt} attempt */
function explain(command, { output, error }) {
  if (error?.code === "ENOENT" && command === "npm") {
    return new SetUpFailure(
      "npm is not on the PATH, and the first run needs it: install Node with npm (https://nodejs.org) and run this again.",
    );
  }
  const lines = (output || String(error ?? "")).trim().split("\n");
  for (const [pattern, remedy] of REMEDIES) {
    const at = lines.findIndex((line) => pattern.test(line));
    if (at >= 0) return new SetUpFailure(remedy, lines.slice(at, at + 4));
  }
  const what = command === "npm" ? "Node and pnpm" : "the packages";
  return new SetUpFailure(
    `${what} could not be installed. This is what came of it:`,
    lines.slice(-15),
  );
}

/** @param {string} folder to be removed if nothing writes to it any more */
function remove(folder) {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // the next set-up will
  }
}

function usesGlibc() {
  const header = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  ).header;
  return header?.glibcVersionRuntime !== undefined;
}
