import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SavedFiles } from "../src/index.ts";

const FOLDER = fileURLToPath(new URL("fixtures", import.meta.url));

/** What `record.sh` recorded of real namespaces: machine `node1` with pods `pod` and `db`. */
export function recorded(): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(FOLDER, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(FOLDER.length + 1).replaceAll("\\", "/"), readFileSync(path, "utf8"));
  }
  return files;
}

/** The same with other texts in place of some. */
export function recordedBut(changes: Readonly<Record<string, string | undefined>>): SavedFiles {
  const files = recorded();
  for (const [path, text] of Object.entries(changes)) {
    if (text === undefined) files.delete(`node1/${path}`);
    else files.set(`node1/${path}`, text);
  }
  return files;
}
