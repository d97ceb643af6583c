import type { Clock } from "@cnilab/core";

/**
 * Keys that wait for a controller, each once however often it was added (client-go's workqueue). All
 * that a moment of the virtual clock adds is worked off together, in the order it came.
 */
export class WorkQueue<K> {
  readonly #clock: Clock;
  readonly #reconcile: (key: K) => void;
  #waiting = new Set<K>();
  #scheduled = false;

  constructor(clock: Clock, reconcile: (key: K) => void) {
    this.#clock = clock;
    this.#reconcile = reconcile;
  }

  add(key: K): void {
    this.#waiting.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.schedule(0, () => this.#run());
  }

  #run(): void {
    this.#scheduled = false;
    const keys = this.#waiting;
    this.#waiting = new Set();
    for (const key of keys) this.#reconcile(key);
  }
}
