import { basename, resolve } from "node:path";
import { InputError, type KubeObject } from "@cnilab/core";
import type { SavedFiles } from "@cnilab/import";
import { readObjects } from "./cluster-flags.ts";
import type { ProgramIo } from "./program-io.ts";
import { readFolder, readSources } from "./read-input.ts";

/** A folder as the collect script leaves it. */
export interface SavedState {
  readonly files: SavedFiles;
  readonly objects: readonly KubeObject[];
  /** About objects: what of them is left out. */
  readonly ignored: readonly string[];
}

/** Reads nodes' folders, or a single node's own, and objects from what lies beside them. @throws InputError */
export async function readState(io: ProgramIo, folder: string): Promise<SavedState> {
  const found = readFolder(io, folder);
  const single = found.has("links.json");
  const node = basename(resolve(io.cwd(), folder));
  const files = single
    ? new Map([...found].map(([path, text]) => [`${node}/${path}`, text]))
    : found;
  const isManifest = single ? /^[^/]+\.ya?ml$/i : /^[^/]+\.(ya?ml|json)$/i;
  const manifests = [...found.keys()].filter((path) => isManifest.test(path));
  if (manifests.length === found.size) {
    throw new InputError(
      "holds no node's state; cnilab import-node --print-collect prints the script that collects it",
      folder,
    );
  }
  const sources = await readSources(
    io,
    manifests.map((path) => `${folder}/${path}`),
  );
  const { objects, warnings } = readObjects(sources);
  return { files, objects, ignored: warnings };
}
