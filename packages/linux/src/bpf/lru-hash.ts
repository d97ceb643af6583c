import type { FlowEffect } from "../flow-cache.ts";
import type { Kernel } from "../kernel.ts";
import {
  BPF_ANY,
  BPF_EXIST,
  BPF_NOEXIST,
  BpfMap,
  type BpfResult,
  type UpdateFlag,
} from "./bpf-map.ts";
import type { BpfHashOptions } from "./hash-map.ts";
import type { HashEntry, PackedKey } from "./shared-entries.ts";

interface LruEntry<K, V> extends HashEntry<K, V> {
  /** A program has asked for it since it was last looked at for eviction (`bpf_lru_node.ref`). */
  used: boolean;
}

/**
 * A hash map that is never full: who writes to it when it is takes the place of what nobody has asked for lately
 * (kernel/bpf/bpf_lru_list.c). Look-ups mark an entry; eviction passes by marked ones once. The kernel has lists for each
 * CPU, and frees some at once, so that which ones go is not the same there.
 */
export class BpfLruHash<K, V> extends BpfMap<K, V> {
  readonly type = "lru_hash";
  readonly #pack: (key: K) => PackedKey;
  #entries: Map<PackedKey, LruEntry<K, V>> | undefined = undefined;
  /** Called with what had to go. */
  onEvict: ((key: K, value: V) => void) | undefined = undefined;
  evictions = 0;

  constructor(kernel: Kernel, options: BpfHashOptions<K, V>) {
    super(kernel, options);
    this.#pack = options.pack;
  }

  override get size(): number {
    return this.#entries?.size ?? 0;
  }

  override find(key: K): V | undefined {
    const entry = this.#entries?.get(this.#pack(key));
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.value;
  }

  override use(key: K): FlowEffect | undefined {
    const entry = this.#entries?.get(this.#pack(key));
    if (entry === undefined) return undefined;
    return {
      repeat() {
        entry.used = true;
      },
    };
  }

  /** `htab_lru_map_lookup_elem_sys`: a program's look-up counts as use, one from user space does not. */
  protected override peek(key: K): V | undefined {
    return this.#entries?.get(this.#pack(key))?.value;
  }

  override write(key: K, value: V, flags: UpdateFlag = BPF_ANY): BpfResult {
    if (flags > BPF_EXIST) return "EINVAL";
    this.#entries ??= new Map();
    const packed = this.#pack(key);
    const entry = this.#entries.get(packed);
    if (entry !== undefined && flags === BPF_NOEXIST) return "EEXIST";
    if (entry === undefined && flags === BPF_EXIST) return "ENOENT";
    if (entry !== undefined) {
      entry.value = value;
      entry.used = true;
    } else {
      if (this.#entries.size >= this.maxEntries) this.#evict(this.#entries);
      this.#entries.set(packed, { key, value, used: false });
    }
    this.changed(key);
    return undefined;
  }

  override erase(key: K): BpfResult {
    if (this.#entries?.delete(this.#pack(key)) !== true) return "ENOENT";
    this.changed(key);
    return undefined;
  }

  #evict(entries: Map<PackedKey, LruEntry<K, V>>): void {
    for (const [packed, entry] of entries) {
      entries.delete(packed);
      if (entry.used) {
        entry.used = false;
        entries.set(packed, entry);
        continue;
      }
      this.evictions++;
      this.changed(entry.key);
      this.onEvict?.(entry.key, entry.value);
      return;
    }
  }

  protected override *all(): Iterable<readonly [K, V]> {
    for (const { key, value } of this.#entries?.values() ?? []) yield [key, value];
  }

  protected override conditionKey(key: K): PackedKey {
    return this.#pack(key);
  }
}
