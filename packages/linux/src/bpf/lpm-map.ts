import type { Kernel } from "../kernel.ts";
import { KernelError } from "../kernel-error.ts";
import {
  BPF_ANY,
  BPF_EXIST,
  BPF_NOEXIST,
  BpfMap,
  type BpfMapOptions,
  type BpfResult,
  type UpdateFlag,
} from "./bpf-map.ts";
import { type LpmKey, LpmTrie } from "./lpm-trie.ts";
import type { HashEntry, SharedLpmEntries } from "./shared-entries.ts";

export interface BpfLpmOptions<K, V> extends BpfMapOptions<K, V> {
  /** Of a full key; at most 2048. */
  readonly bits: number;
  readonly encode: (key: K) => LpmKey;
}

/** An entry of this machine alone. Without a value it hides that of the same prefix in what machines share. */
interface OwnEntry<K, V> {
  readonly key: K;
  readonly value: V | undefined;
}

/** A map of prefixes, which finds the longest one that a key begins with (kernel/bpf/lpm_trie.c). */
export class BpfLpmTrie<K, V> extends BpfMap<K, V> {
  readonly type = "lpm_trie";
  readonly bits: number;
  readonly #encode: (key: K) => LpmKey;
  #own: LpmTrie<OwnEntry<K, V>>;
  #shared: SharedLpmEntries<K, V> | undefined = undefined;
  /** How many of {@link #own} hide something. */
  #hiding = 0;

  /** @throws KernelError EINVAL for a key longer than the kernel's 256 bytes */
  constructor(kernel: Kernel, options: BpfLpmOptions<K, V>) {
    if (options.bits < 8 || options.bits > 2048) {
      throw new KernelError("EINVAL", `keys of ${options.bits} bits in map ${options.name}`);
    }
    super(kernel, options);
    this.bits = options.bits;
    this.#encode = options.encode;
    this.#own = new LpmTrie(options.bits);
  }

  /** What it has in common with other machines' maps; what was written to it stands above that. */
  get shared(): SharedLpmEntries<K, V> | undefined {
    return this.#shared;
  }

  set shared(shared: SharedLpmEntries<K, V> | undefined) {
    this.#shared = shared;
    const own = this.#own;
    if (this.#hiding > 0) {
      this.#own = new LpmTrie(this.bits);
      for (const entry of own.values()) {
        if (entry.value !== undefined) this.#own.set(this.#encode(entry.key), entry);
      }
      this.#hiding = 0;
    }
    this.kernel.network.touch();
  }

  override get size(): number {
    const shared = this.#shared;
    if (shared === undefined) return this.#own.size;
    let size = shared.size;
    for (const { key, value } of this.#own.values()) {
      const there = shared.trie.get(this.#encode(key)) !== undefined;
      if (value === undefined) size -= there ? 1 : 0;
      else size += there ? 0 : 1;
    }
    return size;
  }

  /** The value of the longest prefix of `key`, whose own length is the most that counts. */
  override find(key: K): V | undefined {
    const sought = this.#encode(key);
    if (!this.#own.fits(sought)) return undefined;
    if (this.#shared === undefined) return this.#own.lookup(sought)?.value;
    return this.#findInBoth(sought);
  }

  #findInBoth(sought: LpmKey): V | undefined {
    const { trie } = this.#shared as SharedLpmEntries<K, V>;
    const own = this.#own.size === 0 ? [] : this.#own.matches(sought);
    if (own.length === 0) return trie.lookup(sought)?.value;
    const shared = trie.matches(sought);
    // The longest of both; where both have a prefix, this machine's own entry counts.
    for (;;) {
      const mine = own.at(-1);
      const theirs = shared.at(-1);
      const mineLength = mine === undefined ? -1 : this.#encode(mine.key).prefixLength;
      const theirLength = theirs === undefined ? -1 : this.#encode(theirs.key).prefixLength;
      if (mine === undefined || theirLength > mineLength) return theirs?.value;
      if (mine.value !== undefined) return mine.value;
      own.pop();
      if (theirLength === mineLength) shared.pop();
    }
  }

  /** The value of exactly this prefix. */
  exact(key: K): V | undefined {
    const prefix = this.#encode(key);
    const own = this.#own.get(prefix);
    return own === undefined ? this.#shared?.trie.get(prefix)?.value : own.value;
  }

  override write(key: K, value: V, flags: UpdateFlag = BPF_ANY): BpfResult {
    const prefix = this.#encode(key);
    if (flags > BPF_EXIST || !this.#own.fits(prefix)) return "EINVAL";
    const there = this.exact(key) !== undefined;
    if (there && flags === BPF_NOEXIST) return "EEXIST";
    if (!there && flags === BPF_EXIST) return "ENOENT";
    if (!there && this.size >= this.maxEntries) return "ENOSPC";
    this.#set(prefix, { key, value });
    this.changedAll();
    return undefined;
  }

  override erase(key: K): BpfResult {
    const prefix = this.#encode(key);
    if (!this.#own.fits(prefix)) return "EINVAL";
    if (this.exact(key) === undefined) return "ENOENT";
    if (this.#shared?.trie.get(prefix) !== undefined) this.#set(prefix, { key, value: undefined });
    else this.#own.delete(prefix);
    this.changedAll();
    return undefined;
  }

  /** Takes out what was written, or deleted, here of exactly this prefix: what machines share shows again. */
  restoreShared(key: K): void {
    const prefix = this.#encode(key);
    const own = this.#own.get(prefix);
    if (own === undefined) return;
    this.kernel.network.settleFlows();
    if (own.value === undefined) this.#hiding--;
    this.#own.delete(prefix);
    this.changedAll();
  }

  #set(prefix: LpmKey, entry: OwnEntry<K, V>): void {
    const before = this.#own.get(prefix);
    if (before !== undefined && before.value === undefined) this.#hiding--;
    if (entry.value === undefined) this.#hiding++;
    this.#own.set(prefix, entry);
  }

  protected override *all(): Iterable<readonly [K, V]> {
    const both = new LpmTrie<HashEntry<K, V>>(this.bits);
    for (const entry of this.#shared?.trie.values() ?? []) both.set(this.#encode(entry.key), entry);
    for (const { key, value } of this.#own.values()) {
      const prefix = this.#encode(key);
      if (value === undefined) both.delete(prefix);
      else both.set(prefix, { key, value });
    }
    for (const { key, value } of both.values()) yield [key, value];
  }

  /** A new prefix may be the longest for any key. */
  protected override conditionKey(_key: K): undefined {
    return undefined;
  }
}
