import { InputError, type KubeObject } from "@cnilab/core";
import type { SavedFiles } from "@cnilab/import";
import { readObjects } from "./cluster-flags.ts";
import { readFolder, readSources } from "./read-input.ts";

/** A folder as the collect script leaves it. */
export interface SavedState {
  readonly files: SavedFiles;
  readonly objects: readonly KubeObject[];
  /** About objects: what of them is left out. */
  readonly ignored: readonly string[];
}

/** Reads nodes' folders, and objects from what lies beside them. @throws InputError */
export async function readState(folder: string): Promise<SavedState> {
  const files = readFolder(folder);
  const manifests = [...files.keys()].filter((path) => /^[^/]+\.(ya?ml|json)$/i.test(path));
  if (manifests.length === files.size) {
    throw new InputError(
      "holds no node's state; cnilab import-node --print-collect prints the script that collects it",
      folder,
    );
  }
  const sources = await readSources(manifests.map((path) => `${folder}/${path}`));
  const { objects, warnings } = readObjects(sources);
  return { files, objects, ignored: warnings };
}
