import { InputError } from "@cnilab/core";
import { Fields } from "./fields.ts";

/** Texts of a folder by path, as `node1/netns/cni-1/links.json`. */
export type SavedFiles = ReadonlyMap<string, string>;

/** What was saved of one network namespace. */
export class NamespaceFiles {
  readonly #files: SavedFiles;
  /** Path of its folder, with a slash behind it. */
  readonly folder: string;

  constructor(files: SavedFiles, folder: string) {
    this.#files = files;
    this.folder = folder;
  }

  /** Path of a file, for messages. */
  path(name: string): string {
    return `${this.folder}${name}`;
  }

  /** `undefined` where nothing was saved. */
  text(name: string): string | undefined {
    return this.#files.get(this.path(name));
  }

  has(name: string): boolean {
    return this.#files.has(this.path(name));
  }

  /** The objects of a file with a JSON array; none where there is no such file. @throws InputError */
  objects(name: string): Fields[] {
    const text = this.text(name);
    // A tool that has nothing to tell may print nothing.
    if (text === undefined || text.trim() === "") return [];
    const path = this.path(name);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new InputError(`is not JSON (${lineOf(text, error)}); collect it again`, path);
    }
    if (!Array.isArray(value)) throw new InputError("must be a JSON array", path);
    // iproute2 6.1 puts an empty object in for what it has filtered out.
    const whole = value.map((each, i) => new Fields(each, path, `[${i}]`));
    return whole.filter((fields) => !fields.isEmpty);
  }

  /** Lines with their places, without those that are empty. */
  lines(name: string): { readonly text: string; readonly where: string }[] {
    const lines = (this.text(name) ?? "").split("\n").map((text, i) => ({
      text: text.trim(),
      where: `${this.path(name)}:${i + 1}`,
    }));
    return lines.filter(({ text }) => text !== "");
  }
}

/** Where JSON breaks off, as far as the engine tells. */
function lineOf(text: string, error: unknown): string {
  const position = /position (\d+)/.exec(String(error))?.[1];
  if (position === undefined) return "it breaks off";
  return `line ${text.slice(0, Number(position)).split("\n").length}`;
}

/** Names of the folders directly below one, sorted. */
export function foldersIn(files: SavedFiles, folder: string): string[] {
  const names = new Set<string>();
  for (const path of files.keys()) {
    if (!path.startsWith(folder)) continue;
    const rest = path.slice(folder.length);
    const slash = rest.indexOf("/");
    if (slash > 0) names.add(rest.slice(0, slash));
  }
  return [...names].sort();
}
