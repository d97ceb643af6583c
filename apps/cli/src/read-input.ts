import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "@cnilab/core";

/** Text of one source of manifests. */
export interface Source {
  /** As the user named it; `standard input` for `-`. */
  readonly name: string;
  readonly text: string;
}

/** More than any cluster's manifests have, and less than would fill the memory. */
const MAX_BYTES = 256 * 1024 * 1024;
const MANIFEST = /\.(ya?ml|json)$/i;

/**
 * Reads what `-f` names: files, folders (recursively their *.yaml, *.yml and *.json, by name), `-`.
 * @throws InputError where something is not there or cannot be read
 */
export function readSources(paths: readonly string[]): Source[] {
  return paths.flatMap((path) => {
    if (path === "-") return [{ name: "standard input", text: readText(0, "standard input") }];
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) {
      throw new InputError("there is no such file or folder; check the path after -f", path);
    }
    if (!stat.isDirectory()) return [{ name: path, text: readText(path, path) }];
    const files = manifestsIn(path);
    if (files.length === 0) {
      throw new InputError("the folder holds no *.yaml, *.yml or *.json file", path);
    }
    return files.map((name) => ({ name, text: readText(name, name) }));
  });
}

/** Text of one file that an option names, as `--config`. */
export function readFile(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new InputError("there is no such file", path);
  return readText(path, path);
}

function manifestsIn(folder: string): string[] {
  const entries = read(folder, () => readdirSync(folder, { withFileTypes: true }));
  return entries.sort(byName).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return manifestsIn(path);
    return MANIFEST.test(entry.name) ? [path] : [];
  });
}

function byName(x: Dirent, y: Dirent): number {
  return x.name < y.name ? -1 : 1;
}

function readText(file: string | number, name: string): string {
  const bytes = read(name, () => readFileSync(file));
  if (bytes.length > MAX_BYTES) {
    throw new InputError(`is larger than ${MAX_BYTES >> 20} MiB; is it a manifest?`, name);
  }
  const text = decode(bytes, name);
  if (text.trim() === "") throw new InputError("is empty; it should hold Kubernetes objects", name);
  return text;
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError("is not text in UTF-8; it should be YAML or JSON", name);
  }
}

function read<T>(name: string, attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InputError(`cannot be read (${code ?? message})`, name);
  }
}
