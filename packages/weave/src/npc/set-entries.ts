import type { SharedElements } from "@cnilab/linux";
import { SharedMap } from "./shared-map.ts";

/** An entry as the first that wanted it put it in, and who wants it. */
interface WantedEntry {
  readonly comment: string;
  readonly users: ReadonlySet<string>;
}

interface Change {
  readonly user: string;
  readonly entry: string;
  /** `undefined` where it was taken away. */
  readonly comment: string | undefined;
  readonly result: SetEntries;
}

/** What weave-npc wants of a set at one time. Like a {@link SharedMap}: never changed, and one for all who came to it by the same changes. */
export class SetEntries {
  /** What the kernel's set has then, where it is known and as long as nobody else touched it. */
  elements: SharedElements | undefined = undefined;
  readonly #entries: SharedMap<string, WantedEntry>;
  readonly #changes: Change[] = [];

  constructor(entries: SharedMap<string, WantedEntry> = new SharedMap()) {
    this.#entries = entries;
  }

  has(entry: string, user?: string): boolean {
    const wanted = this.#entries.get(entry);
    return wanted !== undefined && (user === undefined || wanted.users.has(user));
  }

  add(user: string, entry: string, comment: string): SetEntries {
    return (
      this.#known(user, entry, comment) ??
      this.#after({ user, entry, comment }, () => {
        const wanted = this.#entries.get(entry);
        if (wanted?.users.has(user) === true) return this.#entries;
        const users = new Set(wanted?.users).add(user);
        return this.#entries.set(entry, { comment: wanted?.comment ?? comment, users });
      })
    );
  }

  /** Where the last one is another, that one keeps it. */
  delete(user: string, entry: string): SetEntries {
    return (
      this.#known(user, entry, undefined) ??
      this.#after({ user, entry, comment: undefined }, () => {
        const wanted = this.#entries.get(entry);
        if (wanted === undefined || !wanted.users.has(user)) return this.#entries;
        const users = new Set(wanted.users);
        users.delete(user);
        if (users.size === 0) return this.#entries.delete(entry);
        return this.#entries.set(entry, { ...wanted, users });
      })
    );
  }

  #known(user: string, entry: string, comment: string | undefined): SetEntries | undefined {
    for (const known of this.#changes) {
      if (known.entry !== entry || known.user !== user || known.comment !== comment) continue;
      return known.result;
    }
    return undefined;
  }

  #after(
    change: Omit<Change, "result">,
    entriesAfter: () => SharedMap<string, WantedEntry>,
  ): SetEntries {
    const had = this.has(change.entry);
    const entries = entriesAfter();
    if (entries === this.#entries) return this;
    const result = new SetEntries(entries);
    if (had === result.has(change.entry)) result.elements = this.elements;
    this.#changes.push({ ...change, result });
    return result;
  }
}
