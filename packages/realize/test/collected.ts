import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SavedFiles } from "@cnilab/import";
import type { Network } from "@cnilab/linux";

const COLLECT: string = fileURLToPath(import.meta.resolve("@cnilab/import/collect.sh"));

/** Why namespaces cannot be read here, or `undefined`. */
export function whyNotCollected(): string | undefined {
  for (const tool of ["nsenter", "lsns", "awk", "ss", "sysctl"]) {
    if (spawnSync("which", [tool]).status !== 0) return `needs ${tool}`;
  }
  return undefined;
}

/**
 * Reads realised machines by the collect script. Namespaces and folders are named as they are in the
 * model, without the prefix.
 */
export function collect(network: Network, prefix: string): SavedFiles {
  const dir = mkdtempSync(join(tmpdir(), "cnilab-collect-"));
  try {
    for (const { hostname } of network.kernels.values()) {
      const netns = `${prefix}.${hostname}`;
      execFileSync("bash", [COLLECT, "local", dir, hostname], {
        env: { ...process.env, ROOT_NETNS: netns, NETNS: `${netns}.*` },
      });
    }
    const files = new Map<string, string>();
    for (const path of readdirSync(dir, { recursive: true, withFileTypes: true })) {
      if (!path.isFile()) continue;
      const file = join(path.parentPath, path.name);
      files.set(file.slice(dir.length + 1), readFileSync(file, "utf8"));
    }
    return withoutPrefix(files, network, prefix);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function withoutPrefix(files: SavedFiles, network: Network, prefix: string): SavedFiles {
  const renamed = new Map<string, string>();
  for (const [path, text] of files) {
    let name = path;
    for (const kernel of network.kernels.values()) {
      name = name.replace(`netns/${prefix}.${kernel.hostname}.`, "netns/");
    }
    const own = path.endsWith("/namespaces.txt") ? foldersWithout(text, network, prefix) : text;
    renamed.set(name, own);
  }
  return renamed;
}

/** The second column is the folder; the third stays what it is called on this machine. */
function foldersWithout(text: string, network: Network, prefix: string): string {
  const hosts = [...network.kernels.keys()].map((name) => `${prefix}.${name}.`);
  return text
    .split("\n")
    .map((line) => {
      const [inode, folder = "", mount] = line.split(" ");
      const host = hosts.find((name) => folder.startsWith(name));
      return host === undefined ? line : `${inode} ${folder.slice(host.length)} ${mount}`;
    })
    .join("\n");
}
