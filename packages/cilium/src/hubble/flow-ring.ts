import type { Flow } from "./flow.ts";

/** Flows that an agent keeps (`hubble-event-buffer-capacity`, Helm `hubble.eventBufferCapacity`). */
export const DEFAULT_FLOW_CAPACITY = 4095;

/** How `hubble observe` asks for flows. */
export interface FlowRequest {
  /** At most so many, the newest or with {@link first} the oldest. */
  readonly number?: number;
  readonly first?: boolean;
}

/** The newest flows, each overwriting the oldest (pkg/hubble/container ring.go). */
export class FlowRing {
  readonly #flows: (Flow | undefined)[];
  /** Flows ever written. */
  #written = 0;

  /** @param capacity one less than a power of two, as the real one takes it: a slot is always being written */
  constructor(capacity: number = DEFAULT_FLOW_CAPACITY) {
    if (!Number.isInteger(Math.log2(capacity + 1)) || capacity < 1 || capacity > 65_535) {
      throw new RangeError(`a ring of ${capacity} flows; it must hold 2^n - 1, at most 65535`);
    }
    this.#flows = new Array(capacity).fill(undefined);
  }

  get capacity(): number {
    return this.#flows.length;
  }

  /** Flows that it has seen, those that were overwritten too. */
  get seen(): number {
    return this.#written;
  }

  get size(): number {
    return Math.min(this.#written, this.capacity);
  }

  write(flow: Flow): void {
    this.#flows[this.#written++ % this.capacity] = flow;
  }

  /** Oldest first. */
  *[Symbol.iterator](): Iterator<Flow> {
    for (let i = this.#written - this.size; i < this.#written; i++) {
      yield this.#flows[i % this.capacity] as Flow;
    }
  }

  /** What a request asks for among the flows that pass, oldest first. */
  select(passes: (flow: Flow) => boolean, { number, first = false }: FlowRequest): Flow[] {
    const passed = [...this].filter(passes);
    if (number === undefined) return passed;
    return first ? passed.slice(0, number) : passed.slice(Math.max(0, passed.length - number));
  }
}
