import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Defect, Edit } from "./defects.ts";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const MODEL = "packages/linux/src";

/** A copy of what the fuzzer runs, with one defect planted in its model. */
export class PlantedCopy {
  readonly folder: string = mkdtempSync(join(tmpdir(), "cnilab-defect-"));

  constructor(defect: Defect) {
    symlinkSync(join(ROOT, "node_modules"), join(this.folder, "node_modules"));
    this.#copy("packages/realize/test");
    for (const name of neededBy("realize")) {
      for (const part of ["package.json", "src", "node_modules"]) {
        this.#copy(`packages/${name}/${part}`);
      }
    }
    for (const [file, text] of planted(defect)) writeFileSync(join(this.folder, MODEL, file), text);
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  #copy(path: string): void {
    cpSync(join(ROOT, path), join(this.folder, path), { recursive: true, verbatimSymlinks: true });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** A package of this workspace and those that it and its tests import. */
function neededBy(name: string, found: Set<string> = new Set()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const manifest = readFileSync(join(ROOT, "packages", name, "package.json"), "utf8");
  const { dependencies, devDependencies } = JSON.parse(manifest);
  for (const other of Object.keys({ ...dependencies, ...devDependencies })) {
    if (other.startsWith("@cnilab/")) neededBy(other.slice("@cnilab/".length), found);
  }
  return found;
}

/** The files that a defect changes, as they are then. @throws Error where an edit does not fit the sources any more */
export function planted({ edits }: Defect): Map<string, string> {
  const files = new Map<string, string>();
  for (const edit of edits) {
    const text = files.get(edit.file) ?? readFileSync(join(ROOT, MODEL, edit.file), "utf8");
    files.set(edit.file, replaced(text, edit));
  }
  return files;
}

function replaced(text: string, edit: Edit): string {
  const parts = text.split(edit.old);
  if (parts.length === 2) return parts.join(edit.new);
  throw new Error(`${edit.file} has ${parts.length - 1} times: ${edit.old}`);
}
