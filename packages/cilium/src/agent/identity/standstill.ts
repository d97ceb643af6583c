import type { BpfLpmTrie, SharedLpmEntries } from "@cnilab/linux";

/**
 * Lets maps stay as they are while what they share goes on: those of a node whose agent is stopped, or hears nothing any more. They
 * are given a copy before the next change, one for all that stand still since the one before.
 */
export class Standstill<K, V> {
  readonly #entries: SharedLpmEntries<K, V>;
  readonly #empty: () => SharedLpmEntries<K, V>;
  readonly #waiting = new Set<BpfLpmTrie<K, V>>();

  /** @param empty makes entries for a copy */
  constructor(entries: SharedLpmEntries<K, V>, empty: () => SharedLpmEntries<K, V>) {
    this.#entries = entries;
    this.#empty = empty;
  }

  freeze(map: BpfLpmTrie<K, V>): void {
    if (map.shared === this.#entries) this.#waiting.add(map);
  }

  /** The map follows again, and has what there is now. */
  thaw(map: BpfLpmTrie<K, V>): void {
    this.#waiting.delete(map);
    if (map.shared !== this.#entries) map.shared = this.#entries;
  }

  /** To be called before each change of the entries. */
  beforeChange(): void {
    if (this.#waiting.size === 0) return;
    const copy = this.#empty();
    for (const { key, value } of this.#entries.trie.values()) copy.set(key, value);
    // Others may have given it something else since.
    for (const map of this.#waiting) if (map.shared === this.#entries) map.shared = copy;
    this.#waiting.clear();
  }
}
