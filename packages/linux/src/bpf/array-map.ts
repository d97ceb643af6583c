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
import type { AnyBpfProgram } from "./bpf-program.ts";

/** An array whose elements are all there from the start (kernel/bpf/arraymap.c). */
export class BpfArray<V> extends BpfMap<number, V> {
  readonly type: "array" | "percpu_array";
  readonly #initial: (index: number) => V;
  /** Elements that were asked for. */
  readonly #elements: Map<number, V> = new Map();

  /** @param initial what an element is before anything is written to it */
  constructor(
    kernel: Kernel,
    options: BpfMapOptions<number, V>,
    initial: (index: number) => V,
    type: "array" | "percpu_array" = "array",
  ) {
    super(kernel, options);
    this.type = type;
    this.#initial = initial;
  }

  override get size(): number {
    return this.maxEntries;
  }

  override find(index: number): V | undefined {
    if (!isIndex(index, this.maxEntries)) return undefined;
    let value = this.#elements.get(index);
    if (value === undefined) {
      value = this.#initial(index);
      this.#elements.set(index, value);
    }
    return value;
  }

  override write(index: number, value: V, flags: UpdateFlag = BPF_ANY): BpfResult {
    if (flags > BPF_EXIST) return "EINVAL";
    if (!isIndex(index, this.maxEntries)) return "E2BIG";
    if (flags === BPF_NOEXIST) return "EEXIST";
    this.#elements.set(index, value);
    this.changed(index);
    return undefined;
  }

  override erase(_index: number): BpfResult {
    return "EINVAL";
  }

  protected override *all(): Iterable<readonly [number, V]> {
    for (let index = 0; index < this.maxEntries; index++) yield [index, this.find(index) as V];
  }

  protected override conditionKey(index: number): number {
    return index;
  }
}

/** An array whose elements are there once somebody has put them there: programs to call, or maps. */
abstract class SparseArray<V> extends BpfMap<number, V> {
  readonly #elements: Map<number, V> = new Map();

  override get size(): number {
    return this.#elements.size;
  }

  override find(index: number): V | undefined {
    return this.#elements.get(index);
  }

  override write(index: number, value: V, flags: UpdateFlag = BPF_ANY): BpfResult {
    // bpf_fd_array_map_update_elem
    if (flags !== BPF_ANY) return "EINVAL";
    if (!isIndex(index, this.maxEntries)) return "E2BIG";
    this.#elements.set(index, value);
    this.changed(index);
    return undefined;
  }

  override erase(index: number): BpfResult {
    if (!isIndex(index, this.maxEntries)) return "E2BIG";
    if (!this.#elements.delete(index)) return "ENOENT";
    this.changed(index);
    return undefined;
  }

  protected override *all(): Iterable<readonly [number, V]> {
    yield* [...this.#elements].sort(([a], [b]) => a - b);
  }

  protected override conditionKey(index: number): number {
    return index;
  }
}

/** Programs that others go on with (`BPF_MAP_TYPE_PROG_ARRAY`). */
export class BpfProgArray extends SparseArray<AnyBpfProgram> {
  readonly type = "prog_array";

  override valueText(program: AnyBpfProgram): string {
    return program.name;
  }
}

/** Maps by number (`BPF_MAP_TYPE_ARRAY_OF_MAPS`). */
export class BpfArrayOfMaps<M extends BpfMap<never, unknown>> extends SparseArray<M> {
  readonly type = "array_of_maps";

  override valueText(map: M): string {
    return `map ${map.id}`;
  }
}

function isIndex(index: number, entries: number): boolean {
  return Number.isInteger(index) && index >= 0 && index < entries;
}
