/** Contents of a file that is hardly ever read: made each time that somebody does. Immutable. */
export interface LazyContents {
  text(): string;
}

/** The few files of a machine that programs leave for each other, such as `/run/flannel/subnet.env`. */
export interface HostFiles {
  /** Contents, or `undefined` when there is no such file. */
  read(path: string): string | undefined;
  write(path: string, contents: string | LazyContents): void;
  /** False when there was no such file. */
  remove(path: string): boolean;
  /** Names of the files directly in a folder, sorted; empty when there is no such folder. */
  list(folder: string): string[];
}

/** Files in memory; folders exist as long as they hold files. */
export class MemoryFiles implements HostFiles {
  readonly #folders = new Map<string, Map<string, string | LazyContents>>();

  read(path: string): string | undefined {
    const contents = this.#folders.get(folderOf(path))?.get(nameOf(path));
    return typeof contents === "object" ? contents.text() : contents;
  }

  write(path: string, contents: string | LazyContents): void {
    const folder = folderOf(path);
    let files = this.#folders.get(folder);
    if (files === undefined) {
      files = new Map();
      this.#folders.set(folder, files);
    }
    files.set(nameOf(path), contents);
  }

  remove(path: string): boolean {
    const folder = folderOf(path);
    const files = this.#folders.get(folder);
    if (files === undefined || !files.delete(nameOf(path))) return false;
    if (files.size === 0) this.#folders.delete(folder);
    return true;
  }

  list(folder: string): string[] {
    return [...(this.#folders.get(folder.replace(/\/$/, ""))?.keys() ?? [])].sort();
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
