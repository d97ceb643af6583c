// @ts-check
// What a fresh clone needs before any command of ours can run: pnpm, a Node that runs TypeScript, and the packages of
// pnpm-lock.yaml. Runs on a bare Node 20, so it imports nothing but Node itself. Everything it says goes to stderr.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  NODE,
  nodeIsNewEnough,
  nodePackage,
  nodePath,
  pnpmPath,
  root,
  talk,
  tools,
} from "./environment.mjs";
import { installPackages, installTools } from "./install.mjs";
import { withLock } from "./lock.mjs";

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
    const [printThen, ...filled] = readIfThere(packageStamp).split("\n");
    if (printThen !== print || !filled.every(hasNodeModules)) {
      steps.push({
        title: "the packages of pnpm-lock.yaml",
        run: async () => {
          await installPackages();
          const lines = [print, ...packageFolders().filter(hasNodeModules)];
          writeFileSync(packageStamp, lines.join("\n"));
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

/** @param {string} folder */
function hasNodeModules(folder) {
  return existsSync(join(root, folder, "node_modules"));
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
