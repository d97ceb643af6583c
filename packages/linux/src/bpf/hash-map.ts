import type { Kernel } from "../kernel.ts";
import {
  BPF_ANY,
  BPF_EXIST,
  BPF_NOEXIST,
  BpfMap,
  type BpfMapOptions,
  type BpfResult,
  type UpdateFlag,
} from "./bpf-map.ts";
import type { HashEntry, PackedKey, SharedHashEntries } from "./shared-entries.ts";

export interface BpfHashOptions<K, V> extends BpfMapOptions<K, V> {
  /** A key as a number or string, equal for equal keys. */
  readonly pack: (key: K) => PackedKey;
}

/** A hash map, or one of maps (kernel/bpf/hashtab.c). */
export class BpfHash<K, V> extends BpfMap<K, V> {
  readonly type: "hash" | "percpu_hash" | "hash_of_maps";
  readonly #pack: (key: K) => PackedKey;
  #own: Map<PackedKey, HashEntry<K, V>> | undefined = undefined;
  #shared: SharedHashEntries<K, V> | undefined = undefined;
  /** Entries of {@link shared} that this machine has not. */
  #without: Set<PackedKey> | undefined = undefined;

  constructor(
    kernel: Kernel,
    options: BpfHashOptions<K, V>,
    type: "hash" | "percpu_hash" | "hash_of_maps" = "hash",
  ) {
    super(kernel, options);
    this.type = type;
    this.#pack = options.pack;
  }

  /** What it has in common with other machines' maps; what was written to it stands above that. */
  get shared(): SharedHashEntries<K, V> | undefined {
    return this.#shared;
  }

  set shared(shared: SharedHashEntries<K, V> | undefined) {
    this.#shared = shared;
    this.#without = undefined;
    this.kernel.network.touch();
  }

  override get size(): number {
    const own = this.#own?.size ?? 0;
    const shared = this.#shared;
    if (shared === undefined) return own;
    let size = own + shared.size;
    for (const key of this.#own?.keys() ?? []) if (shared.packed(key) !== undefined) size--;
    for (const key of this.#without ?? []) if (shared.packed(key) !== undefined) size--;
    return size;
  }

  override find(key: K): V | undefined {
    return this.#entry(this.#pack(key))?.value;
  }

  #entry(packed: PackedKey): HashEntry<K, V> | undefined {
    const own = this.#own?.get(packed);
    if (own !== undefined || this.#shared === undefined) return own;
    return this.#without?.has(packed) ? undefined : this.#shared.packed(packed);
  }

  override write(key: K, value: V, flags: UpdateFlag = BPF_ANY): BpfResult {
    const packed = this.#pack(key);
    const there = this.#entry(packed);
    if (flags > BPF_EXIST) return "EINVAL";
    if (there !== undefined && flags === BPF_NOEXIST) return "EEXIST";
    if (there === undefined && flags === BPF_EXIST) return "ENOENT";
    // alloc_htab_elem: no element is left.
    if (there === undefined && this.size >= this.maxEntries) return "E2BIG";
    this.#own ??= new Map();
    const own = this.#own.get(packed);
    if (own === undefined) this.#own.set(packed, { key, value });
    else own.value = value;
    this.#without?.delete(packed);
    this.changed(key);
    return undefined;
  }

  override erase(key: K): BpfResult {
    const packed = this.#pack(key);
    if (this.#entry(packed) === undefined) return "ENOENT";
    this.#own?.delete(packed);
    if (this.#shared?.packed(packed) !== undefined) {
      this.#without ??= new Set();
      this.#without.add(packed);
    }
    this.changed(key);
    return undefined;
  }

  protected override *all(): Iterable<readonly [K, V]> {
    for (const { key, value } of this.#own?.values() ?? []) yield [key, value];
    for (const [packed, { key, value }] of this.#shared?.entries() ?? []) {
      if (!this.#own?.has(packed) && !this.#without?.has(packed)) yield [key, value];
    }
  }

  protected override conditionKey(key: K): PackedKey {
    return this.#pack(key);
  }
}
