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
import type { HashEntry, HashSource, PackedKey } from "./shared-entries.ts";

export interface BpfHashOptions<K, V> extends BpfMapOptions<K, V> {
  /** A key as a number or string, equal for equal keys. */
  readonly pack: (key: K) => PackedKey;
}

/** A hash map, or one of maps (kernel/bpf/hashtab.c). */
export class BpfHash<K, V> extends BpfMap<K, V> {
  readonly type: "hash" | "percpu_hash" | "hash_of_maps";
  readonly #pack: (key: K) => PackedKey;
  #own: Map<PackedKey, HashEntry<K, V>> | undefined = undefined;
  #shared: HashSource<K, V> | undefined = undefined;
  /** Keys of {@link shared} that this machine has not. */
  #without: Map<PackedKey, K> | undefined = undefined;

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
  get shared(): HashSource<K, V> | undefined {
    return this.#shared;
  }

  set shared(shared: HashSource<K, V> | undefined) {
    this.#shared = shared;
    this.#without = undefined;
    this.kernel.network.touch();
  }

  override get size(): number {
    const own = this.#own?.size ?? 0;
    const shared = this.#shared;
    if (shared === undefined) return own;
    let size = own + shared.size;
    for (const [packed, { key }] of this.#own ?? []) {
      if (shared.find(packed, key) !== undefined) size--;
    }
    for (const [packed, key] of this.#without ?? []) {
      if (shared.find(packed, key) !== undefined) size--;
    }
    return size;
  }

  override find(key: K): V | undefined {
    return this.#value(this.#pack(key), key);
  }

  #value(packed: PackedKey, key: K): V | undefined {
    const own = this.#own?.get(packed);
    if (own !== undefined) return own.value;
    if (this.#shared === undefined || this.#without?.has(packed)) return undefined;
    return this.#shared.find(packed, key);
  }

  override write(key: K, value: V, flags: UpdateFlag = BPF_ANY): BpfResult {
    const packed = this.#pack(key);
    const there = this.#value(packed, key);
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
    if (this.#value(packed, key) === undefined) return "ENOENT";
    this.#own?.delete(packed);
    if (this.#shared?.find(packed, key) !== undefined) {
      this.#without ??= new Map();
      this.#without.set(packed, key);
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
