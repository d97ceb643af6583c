import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Defect, Edit } from "./defects.ts";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const PARTS = [
  ...["net", "core", "linux", "realize"].flatMap((name) =>
    ["package.json", "src", "node_modules"].map((part) => `packages/${name}/${part}`),
  ),
  "packages/realize/test",
];
const MODEL = "packages/linux/src";

/** A copy of what the fuzzer runs, with one defect planted in its model. */
export class PlantedCopy {
  readonly folder: string = mkdtempSync(join(tmpdir(), "cnilab-defect-"));

  constructor(defect: Defect) {
    symlinkSync(join(ROOT, "node_modules"), join(this.folder, "node_modules"));
    for (const path of PARTS) {
      cpSync(join(ROOT, path), join(this.folder, path), {
        recursive: true,
        verbatimSymlinks: true,
      });
    }
    for (const [file, text] of planted(defect)) writeFileSync(join(this.folder, MODEL, file), text);
  }

  path(file: string): string {
    return join(this.folder, file);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
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
