import type { Pod } from "@cnilab/core";
import { SetEntries } from "./set-entries.ts";
import { SharedMap } from "./shared-map.ts";

/**
 * What the weave-npc's of a cluster's nodes have in common: each has all pods, and all sets of them. They begin with the same nothing, and
 * as long as they see the same things happen, they have the same. What nobody is at any more is forgotten: one that starts later begins
 * anew, and shares with those that start with it.
 */
export class NpcSharing {
  readonly #sets = new Beginnings(() => new SetEntries());
  readonly #pods = new Beginnings(() => new SharedMap<string, Pod>());

  /** Of a set before its first entry. */
  entriesOf(set: string): SetEntries {
    return this.#sets.of(set);
  }

  /** Of a namespace before its first pod, by their UIDs. */
  podsOf(namespace: string): SharedMap<string, Pod> {
    return this.#pods.of(namespace);
  }
}

/** A beginning leads to all that came of it, so only those who are there still may hold it. */
class Beginnings<T extends object> {
  readonly #make: () => T;
  readonly #all = new Map<string, WeakRef<T>>();

  constructor(make: () => T) {
    this.#make = make;
  }

  of(name: string): T {
    const there = this.#all.get(name)?.deref();
    if (there !== undefined) return there;
    const made = this.#make();
    this.#all.set(name, new WeakRef(made));
    return made;
  }
}
