import type { Network } from "../network.ts";
import type { LpmKey } from "./lpm-trie.ts";
import { LpmTrie } from "./lpm-trie.ts";

/** What a hash map makes of a key: equal for equal keys. */
export type PackedKey = string | number;

/** An entry of a hash map. */
export interface HashEntry<K, V> {
  readonly key: K;
  value: V;
}

/** What a hash map has beside its own entries: those that other machines have, too, or that somebody keeps in another form. */
export interface HashSource<K, V> {
  readonly size: number;
  /** @param packed what the map makes of `key` */
  find(packed: PackedKey, key: K): V | undefined;
  entries(): Iterable<readonly [packed: PackedKey, entry: HashEntry<K, V>]>;
}

/**
 * Entries that hash maps of many machines have in common, as those of services: each is kept once. A machine's map keeps
 * what is different in it. One writer changes them for all.
 */
export class SharedHashEntries<K, V> implements HashSource<K, V> {
  readonly #network: Network;
  readonly #pack: (key: K) => PackedKey;
  readonly #entries = new Map<PackedKey, HashEntry<K, V>>();

  constructor(network: Network, pack: (key: K) => PackedKey) {
    this.#network = network;
    this.#pack = pack;
  }

  get size(): number {
    return this.#entries.size;
  }

  set(key: K, value: V): void {
    this.#entries.set(this.#pack(key), { key, value });
    this.#network.touch();
  }

  delete(key: K): boolean {
    const found = this.#entries.delete(this.#pack(key));
    if (found) this.#network.touch();
    return found;
  }

  find(packed: PackedKey, _key: K): V | undefined {
    return this.#entries.get(packed)?.value;
  }

  entries(): Iterable<[PackedKey, HashEntry<K, V>]> {
    return this.#entries;
  }
}

/** The same for maps that look for the longest prefix, as that of addresses' identities. */
export class SharedLpmEntries<K, V> {
  readonly #network: Network;
  readonly #encode: (key: K) => LpmKey;
  readonly trie: LpmTrie<HashEntry<K, V>>;

  /** @param bits of the longest prefix */
  constructor(network: Network, bits: number, encode: (key: K) => LpmKey) {
    this.#network = network;
    this.#encode = encode;
    this.trie = new LpmTrie(bits);
  }

  get size(): number {
    return this.trie.size;
  }

  set(key: K, value: V): void {
    this.trie.set(this.#encode(key), { key, value });
    this.#network.touch();
  }

  delete(key: K): boolean {
    const found = this.trie.delete(this.#encode(key));
    if (found) this.#network.touch();
    return found;
  }
}
