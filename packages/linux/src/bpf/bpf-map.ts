import type { Origin } from "@cnilab/core";
import type { FlowCondition, FlowEffect } from "../flow-cache.ts";
import type { Kernel } from "../kernel.ts";
import { type Errno, KernelError } from "../kernel-error.ts";

/** Flags of an update (include/uapi/linux/bpf.h). */
export const BPF_ANY = 0;
export const BPF_NOEXIST = 1;
export const BPF_EXIST = 2;

export type UpdateFlag = typeof BPF_ANY | typeof BPF_NOEXIST | typeof BPF_EXIST;

/** Types as `bpftool map` names them. */
export type BpfMapType =
  | "hash"
  | "percpu_hash"
  | "lru_hash"
  | "array"
  | "percpu_array"
  | "prog_array"
  | "perf_event_array"
  | "lpm_trie"
  | "array_of_maps"
  | "hash_of_maps";

/** How a trace and a listing write what is in a map. */
export interface BpfMapText<K, V> {
  key?(key: K): string;
  value?(value: V, key: K): string;
  /** The object that made an agent write the entry. */
  origin?(key: K, value: V): Origin | undefined;
}

export interface BpfMapOptions<K, V> {
  /** As it is pinned. The kernel itself keeps the first 15 characters. */
  readonly name: string;
  readonly maxEntries: number;
  readonly text?: BpfMapText<K, V>;
}

/** An error number of a call, or `undefined` where it went well: programs do not throw. */
export type BpfResult = Errno | undefined;

/** Look-ups of one map that walks rely on; beyond that many, walks are repeated that need not be. */
const MOST_WATCHED = 4096;

/** Something that a program can ask for keys, and fill. Values are kept by reference, as programs have pointers to them. */
export abstract class BpfMap<K = unknown, V = unknown> {
  abstract readonly type: BpfMapType;
  readonly kernel: Kernel;
  readonly id: number;
  readonly name: string;
  readonly maxEntries: number;
  readonly text: BpfMapText<K, V>;
  /** Look-ups that walks under way for the flow cache have relied on, by what {@link conditionKey} makes of the key. */
  #watched: Map<unknown, FlowCondition> | undefined;

  constructor(kernel: Kernel, { name, maxEntries, text }: BpfMapOptions<K, V>) {
    if (!Number.isInteger(maxEntries) || maxEntries < 1) {
      throw new KernelError("EINVAL", `max_entries ${maxEntries} of map ${name}`);
    }
    this.kernel = kernel;
    this.name = name;
    this.maxEntries = maxEntries;
    this.text = text ?? {};
    this.id = kernel.bpf.addMap(this);
  }

  /** How many entries there are. */
  abstract get size(): number;

  /** What a program finds (`bpf_map_lookup_elem`). */
  abstract find(key: K): V | undefined;

  /** What each repeated look-up of `key` does to what is kept, if it does anything. */
  use(_key: K): FlowEffect | undefined {
    return undefined;
  }

  /** What a program writes (`bpf_map_update_elem`). */
  abstract write(key: K, value: V, flags?: UpdateFlag): BpfResult;

  /** What a program takes out (`bpf_map_delete_elem`). */
  abstract erase(key: K): BpfResult;

  /** Entries in the order in which `bpftool map dump` would have a stable one. */
  protected abstract all(): Iterable<readonly [K, V]>;

  /** Equal for keys whose look-ups are changed by the same updates. */
  protected abstract conditionKey(key: K): unknown;

  /** The value of a key, as an agent reads it. Leaves no mark of use. */
  get(key: K): V | undefined {
    this.kernel.network.settleFlows();
    return this.peek(key);
  }

  protected peek(key: K): V | undefined {
    return this.find(key);
  }

  /** @throws KernelError EEXIST, ENOENT by the flag; E2BIG, ENOSPC where it is full; EINVAL */
  update(key: K, value: V, flags: UpdateFlag = BPF_ANY): void {
    this.kernel.network.settleFlows();
    const errno = this.write(key, value, flags);
    if (errno !== undefined) throw new KernelError(errno, `update of map ${this.name}`);
  }

  /** @throws KernelError ENOENT, EINVAL */
  delete(key: K): void {
    this.kernel.network.settleFlows();
    const errno = this.erase(key);
    if (errno !== undefined) throw new KernelError(errno, `delete from map ${this.name}`);
  }

  /** All entries, as they are at this moment. */
  entries(): (readonly [K, V])[] {
    this.kernel.network.settleFlows();
    return [...this.all()];
  }

  keyText(key: K): string {
    return this.text.key?.(key) ?? String(key);
  }

  valueText(value: V, key: K): string {
    return this.text.value?.(value, key) ?? String(value);
  }

  /** What holds until the answer for `key` may change. */
  condition(key: K): FlowCondition {
    const at = this.conditionKey(key);
    let condition = this.#watched?.get(at);
    if (condition === undefined) {
      // Of walks that were not to be repeated after all nobody says so: now and then all begin anew.
      if (this.#watched?.size === MOST_WATCHED) this.changedAll();
      this.#watched ??= new Map();
      condition = { holds: true };
      this.#watched.set(at, condition);
    }
    return condition;
  }

  /** The entry of `key` has come, changed or gone. */
  protected changed(key: K): void {
    if (this.#watched === undefined) return;
    const at = this.conditionKey(key);
    const condition = this.#watched.get(at);
    if (condition === undefined) return;
    // A flow's next packet is walked, and must find the state that its cached packets left.
    this.kernel.network.settleFlows();
    condition.holds = false;
    this.#watched.delete(at);
  }

  /** Any entry may have changed. */
  protected changedAll(): void {
    if (this.#watched === undefined) return;
    this.kernel.network.settleFlows();
    for (const condition of this.#watched.values()) condition.holds = false;
    this.#watched = undefined;
  }
}

/** A map of whatever keys and values. */
// biome-ignore lint/suspicious/noExplicitAny: keys go in and values come out, so that no other type holds every map
export type AnyBpfMap = BpfMap<any, any>;
