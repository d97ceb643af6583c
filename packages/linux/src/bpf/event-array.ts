import type { Kernel } from "../kernel.ts";
import { BpfMap, type BpfMapOptions, type BpfResult } from "./bpf-map.ts";

/** Where programs put events for whoever reads them (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`). Nobody there: they are lost. */
export class BpfEventArray<E> extends BpfMap<number, never> {
  readonly type = "perf_event_array";
  #readers: readonly ((event: E) => void)[] = [];

  constructor(kernel: Kernel, options: Omit<BpfMapOptions<number, never>, "text">) {
    super(kernel, options);
  }

  /** Whether somebody reads: an event that nobody wants need not be made. */
  get isRead(): boolean {
    return this.#readers.length > 0;
  }

  /** Calls `reader` with each event from now on. @returns how to stop it */
  read(reader: (event: E) => void): () => void {
    this.#readers = [...this.#readers, reader];
    this.kernel.network.touch();
    return () => {
      this.#readers = this.#readers.filter((r) => r !== reader);
      this.kernel.network.touch();
    };
  }

  /** `bpf_perf_event_output`. */
  output(event: E): void {
    for (const reader of this.#readers) reader(event);
  }

  override get size(): number {
    return this.#readers.length;
  }

  override find(_cpu: number): undefined {
    return undefined;
  }

  override write(_cpu: number, _value: never): BpfResult {
    return "EINVAL";
  }

  override erase(_cpu: number): BpfResult {
    return "ENOENT";
  }

  protected override all(): Iterable<readonly [number, never]> {
    return [];
  }

  protected override conditionKey(cpu: number): number {
    return cpu;
  }
}
