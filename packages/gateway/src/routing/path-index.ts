/** The root is empty: every other path starts with it and a slash. */
export function withoutEndSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

/** A path that is compared by a pattern. */
interface PatternEntries<T> {
  readonly text: string;
  readonly matches: (path: string) => boolean;
  readonly entries: T[];
}

/**
 * Entries by path. A prefix goes by elements: `/foo` is one of `/foo`, `/foo/` and `/foo/bar`, not of `/foobar`. A look-up
 * takes the path's own length, not the number of entries: one look for the exact path, one for each of its beginnings,
 * and the patterns, if there are any, one by one.
 */
export class PathIndex<T> {
  readonly #exact = new Map<string, T[]>();
  readonly #prefixes = new Map<string, T[]>();
  readonly #patterns: PatternEntries<T>[] = [];

  addExact(path: string, entry: T): void {
    push(this.#exact, path, entry);
  }

  addPrefix(prefix: string, entry: T): void {
    push(this.#prefixes, withoutEndSlash(prefix), entry);
  }

  /** Patterns come between the exact paths and the prefixes, the longest text first. */
  addPattern(text: string, matches: (path: string) => boolean, entry: T): void {
    const same = this.#patterns.find((pattern) => pattern.text === text);
    if (same !== undefined) same.entries.push(entry);
    else this.#patterns.push({ text, matches, entries: [entry] });
  }

  /** Orders what stands at one path, once all is added. */
  sort(compare: (x: T, y: T) => number): void {
    for (const list of this.#exact.values()) list.sort(compare);
    for (const list of this.#prefixes.values()) list.sort(compare);
    for (const { entries } of this.#patterns) entries.sort(compare);
    this.#patterns.sort((x, y) => y.text.length - x.text.length || (x.text < y.text ? -1 : 1));
  }

  /** The first entry that `admits`: at the exact path, at a pattern, at the longest prefix. */
  find(path: string, admits: (entry: T) => boolean): T | undefined {
    const exact = this.#exact.get(path)?.find(admits);
    if (exact !== undefined) return exact;
    for (const pattern of this.#patterns) {
      if (!pattern.matches(path)) continue;
      const found = pattern.entries.find(admits);
      if (found !== undefined) return found;
    }
    for (let end = path.length; end >= 0; end = path.lastIndexOf("/", end - 1)) {
      if (end === path.length || path[end] === "/") {
        const found = this.#prefixes.get(path.slice(0, end))?.find(admits);
        if (found !== undefined) return found;
      }
      if (end === 0) break;
    }
    return undefined;
  }
}

function push<T>(map: Map<string, T[]>, key: string, entry: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [entry]);
  else list.push(entry);
}
