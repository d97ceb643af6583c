import type { NetNamespace } from "../../net-namespace.ts";
import type { IpsetReference } from "../ipset/ipsets.ts";
import type { RuleEntry } from "./rule.ts";

/** The sets that rules hold, so that nobody destroys or renames them. */
export class SetHolds {
  readonly #netns: NetNamespace;
  readonly #held: Map<RuleEntry, readonly IpsetReference[]> = new Map();

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  /** Holds what these rules name, and nothing else. */
  update(entries: readonly RuleEntry[]): void {
    if (entries.length === 0 && this.#held.size === 0) return;
    const wanted = new Set(entries);
    for (const [entry, references] of this.#held) {
      if (wanted.has(entry)) continue;
      for (const reference of references) this.#netns.ipsets.release(reference);
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
