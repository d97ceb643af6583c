import {
  createReadStream,
  type Dirent,
  readdirSync,
  readFileSync,
  type Stats,
  statSync,
} from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import { InputError } from "@cnilab/core";
import type { ProgramIo } from "./program-io.ts";

/** Text of one source of manifests. */
export interface Source {
  /** As the user named it; `standard input` for `-`. */
  readonly name: string;
  readonly text: string;
}

/** More than any input has, and less than would fill the memory: `/dev/zero` never ends. */
const MAX_BYTES = 256 * 1024 * 1024;
const MANIFEST = /\.(ya?ml|json)$/i;

/**
 * Reads what `-f` names: files, folders (recursively their *.yaml, *.yml and *.json, by name), `-`.
 * @throws InputError where something is not there or cannot be read
 */
export async function readSources(io: ProgramIo, paths: readonly string[]): Promise<Source[]> {
  if (paths.indexOf("-") !== paths.lastIndexOf("-")) {
    throw new InputError("standard input can be read once only; leave one out", "-f -");
  }
  const sources: Source[] = [];
  for (const path of paths) {
    const folder = path !== "-" && status(io, path).isDirectory();
    for (const file of folder ? manifestsIn(io, path) : [path])
      sources.push(await readSource(io, file));
  }
  return sources;
}

/** Reads one file, or standard input for `-`. @throws InputError */
export async function readSource(io: ProgramIo, path: string): Promise<Source> {
  const name = path === "-" ? "standard input" : path;
  if (path !== "-" && status(io, path).isDirectory()) {
    throw new InputError("is a folder; name a file", path);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    const stream = path === "-" ? io.stdin : createReadStream(seenFrom(io, path));
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > MAX_BYTES) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreadable(error, name);
  }
  if (length > MAX_BYTES) {
    throw new InputError(`is longer than ${MAX_BYTES >> 20} MiB; split it`, name);
  }
  const text = decode(Buffer.concat(chunks, length), name);
  if (text.trim() === "") throw new InputError("is empty; check what was meant to be in it", name);
  return { name, text };
}

/** Every file of a folder and of those in it, by path from there, with slashes. @throws InputError */
export function readFolder(io: ProgramIo, folder: string): Map<string, string> {
  if (!status(io, folder).isDirectory()) throw new InputError("is no folder", folder);
  const files = new Map<string, string>();
  let length = 0;
  for (const path of filesIn(io, folder)) {
    if (!status(io, path).isFile()) continue;
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(seenFrom(io, path));
    } catch (error) {
      throw unreadable(error, path);
    }
    length += bytes.length;
    if (length > MAX_BYTES) {
      throw new InputError(`holds more than ${MAX_BYTES >> 20} MiB; name a smaller one`, folder);
    }
    files.set(
      relative(folder, path).replaceAll("\\", "/"),
      decode(bytes, path, "collect it again"),
    );
  }
  return files;
}

/** Whether there is a file of this path, which somebody may have left. */
export function isFile(io: ProgramIo, path: string): boolean {
  try {
    return statSync(seenFrom(io, path), { throwIfNoEntry: false })?.isFile() === true;
  } catch {
    return false;
  }
}

/** Text of one of our own files, which is there. */
export function readOwnFile(url: URL): string {
  return readFileSync(url, "utf8");
}

/** The path, seen from where the program was called; what it goes through is left to the system. */
function seenFrom(io: ProgramIo, path: string): string {
  return path === "" || isAbsolute(path) ? path : `${io.cwd()}/${path}`;
}

function status(io: ProgramIo, path: string): Stats {
  let stats: Stats | undefined;
  try {
    stats = statSync(seenFrom(io, path), { throwIfNoEntry: false });
  } catch (error) {
    throw unreadable(error, path);
  }
  if (stats !== undefined) return stats;
  throw new InputError("there is no such file or folder; check the path", path || '""');
}

function manifestsIn(io: ProgramIo, folder: string): string[] {
  const files = filesIn(io, folder).filter((path) => MANIFEST.test(path));
  if (files.length > 0) return files;
  throw new InputError("the folder holds no *.yaml, *.yml or *.json file", folder);
}

function filesIn(io: ProgramIo, folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(seenFrom(io, folder), { withFileTypes: true });
  } catch (error) {
    throw unreadable(error, folder);
  }
  return entries.sort(byName).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesIn(io, path) : [path];
  });
}

function byName(x: Dirent, y: Dirent): number {
  return x.name < y.name ? -1 : 1;
}

function decode(bytes: Uint8Array, name: string, mend = "it should be YAML or JSON"): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`is not text in UTF-8; ${mend}`, name);
  }
}

function unreadable(error: unknown, name: string): InputError {
  const { code, message } = error as NodeJS.ErrnoException;
  const length = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return new InputError(`cannot be read (${code ?? message}); check path and permissions`, length);
}
