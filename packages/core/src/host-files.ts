/** Contents of a file that is hardly ever read: made each time that somebody does. Immutable. */
export interface LazyContents {
  text(): string;
}

/** The files directly in one folder, by their names. */
export interface HostFolder {
  /** Contents, or `undefined` when there is no such file. */
  read(name: string): string | undefined;
  write(name: string, contents: string | LazyContents): void;
  /** False when there was no such file. */
  remove(name: string): boolean;
  /** Names, sorted. */
  list(): string[];
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
  /** A folder, there or not, for programs that keep many files in it. */
  folder(path: string): HostFolder;
}

class MemoryFolder implements HostFolder {
  readonly #files = new Map<string, string | LazyContents>();

  read(name: string): string | undefined {
    const contents = this.#files.get(name);
    return typeof contents === "object" ? contents.text() : contents;
  }

  write(name: string, contents: string | LazyContents): void {
    this.#files.set(name, contents);
  }

  remove(name: string): boolean {
    return this.#files.delete(name);
  }

  list(): string[] {
    return [...this.#files.keys()].sort();
  }
}

/** Files in memory. A folder without files is as good as none. */
export class MemoryFiles implements HostFiles {
  readonly #folders = new Map<string, MemoryFolder>();

  read(path: string): string | undefined {
    return this.#folders.get(folderOf(path))?.read(nameOf(path));
  }

  write(path: string, contents: string | LazyContents): void {
    this.folder(folderOf(path)).write(nameOf(path), contents);
  }

  remove(path: string): boolean {
    return this.#folders.get(folderOf(path))?.remove(nameOf(path)) ?? false;
  }

  list(folder: string): string[] {
    return this.#folders.get(withoutSlash(folder))?.list() ?? [];
  }

  folder(path: string): HostFolder {
    const key = withoutSlash(path);
    let folder = this.#folders.get(key);
    if (folder === undefined) {
      folder = new MemoryFolder();
      this.#folders.set(key, folder);
    }
    return folder;
  }
}

function withoutSlash(folder: string): string {
  return folder.endsWith("/") ? folder.slice(0, -1) : folder;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
