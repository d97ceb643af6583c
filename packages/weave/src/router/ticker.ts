import type { Clock, Timer } from "@cnilab/core";

/** Does something each so often, counted from its making, while there is something to do it for: thousands of nodes have nothing. */
export class Ticker {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #started: number;
  /** @returns whether it is to go on */
  readonly #task: () => boolean;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(clock: Clock, intervalMs: number, task: () => boolean) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#started = clock.now;
    this.#task = task;
  }

  /** There is something again. */
  wake(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const delayMs = this.#intervalMs - ((this.#clock.now - this.#started) % this.#intervalMs);
    const tick = () => {
      this.#timer = undefined;
      if (this.#task()) this.wake();
    };
    this.#timer = this.#clock.schedule(delayMs, tick, { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}
