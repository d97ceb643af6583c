import type { NetNamespace } from "../../net-namespace.ts";
import type { IpsetReference } from "../ipset/ipsets.ts";
import type { RuleEntry } from "./rule.ts";

/** The sets that rules hold, so that nobody destroys or renames them. */
export class SetHolds {
  readonly #netns: NetNamespace;
  readonly #held: Map<RuleEntry, readonly IpsetReference[]> = new Map();
  /** Whose rules are held. */
  #lists: ReadonlySet<readonly RuleEntry[]> = new Set();

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  /** Holds what these rules name, and nothing else. Lists that were there the last time are as they were. */
  update(lists: readonly (readonly RuleEntry[])[]): void {
    const before = this.#lists;
    if (lists.length === before.size && lists.every((list) => before.has(list))) return;
    const now = new Set(lists);
    const added = lists.filter((list) => !before.has(list));
    const gone = [...before].filter((list) => !now.has(list));
    this.#lists = now;
    const wanted = new Set(added.flat());
    for (const entry of gone.flat()) {
      if (wanted.has(entry)) continue;
      for (const reference of this.#held.get(entry) ?? []) this.#netns.ipsets.release(reference);
      this.#held.delete(entry);
    }
    for (const entry of wanted) {
      if (this.#held.has(entry)) continue;
      const names = entry.rule.sets;
      this.#held.set(
        entry,
        names.map((name) => this.#netns.ipsets.reference(name)),
      );
    }
  }
}
