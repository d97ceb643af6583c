// @ts-check
import { createHash } from "node:crypto";
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { release } from "node:os";
import { delimiter, join } from "node:path";
import { root } from "./environment.mjs";

/** Programs that a test compares the model with, or needs for that, where they are installed. */
const PROGRAMS = [
  "bash",
  "conntrack",
  "ip",
  "ipset",
  "iptables",
  "nft",
  "python3",
  "sysctl",
  "tc",
  "tshark",
  "unshare",
];

/**
 * What tests depend on outside the repository, as one short word: a test result from turbo's cache holds only where
 * this is the same. Kernel, user, the real tools, and names, sizes and times of everything in ../shared.
 */
export function machineFingerprint() {
  const hash = createHash("sha256");
  hash.update(
    `${process.platform} ${process.arch} ${release()} ${process.getuid?.() === 0 ? "root" : "user"}\n`,
  );
  for (const program of PROGRAMS) if (isOnPath(program)) hash.update(`${program}\n`);
  for (const line of listing(join(root, "..", "shared"))) hash.update(line);
  return hash.digest("hex").slice(0, 16);
}

/** @param {string} program */
function isOnPath(program) {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param {string} folder @returns {Iterable<string>} a line per file; none where there is no such folder */
function* listing(folder) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* listing(path);
    else if (entry.isFile()) {
      const { size, mtimeMs } = statSync(path);
      yield `${path} ${size} ${mtimeMs}\n`;
    }
  }
}
