import { type SchedulerAction, type SchedulerLike, Subscription } from "rxjs";
import type { Clock, Timer } from "./clock.ts";

/**
 * RxJS's time on a {@link Clock}, for `observeOn`, `delay`, `auditTime` and their like. RxJS's own
 * `VirtualTimeScheduler` is quadratic in the number of waiting actions.
 */
export class ClockScheduler implements SchedulerLike {
  readonly #clock: Clock;
  readonly #background: boolean;

  /** @param background whether its actions are background work, see {@link Clock.schedule} */
  constructor(clock: Clock, background = false) {
    this.#clock = clock;
    this.#background = background;
  }

  now(): number {
    return this.#clock.now;
  }

  schedule<T>(
    work: (this: SchedulerAction<T>, state?: T) => void,
    delayMs = 0,
    state?: T,
  ): Subscription {
    return new ClockAction(this.#clock, this.#background, work).schedule(state, delayMs);
  }
}

class ClockAction<T> extends Subscription implements SchedulerAction<T> {
  readonly #clock: Clock;
  readonly #background: boolean;
  readonly #work: (this: SchedulerAction<T>, state?: T) => void;
  #timer: Timer | undefined;

  constructor(
    clock: Clock,
    background: boolean,
    work: (this: SchedulerAction<T>, state?: T) => void,
  ) {
    super(() => this.#timer?.cancel());
    this.#clock = clock;
    this.#background = background;
    this.#work = work;
  }

  schedule(state?: T, delayMs = 0): Subscription {
    if (this.closed) return this;
    this.#timer?.cancel();
    const run = () => {
      this.#timer = undefined;
      this.#work.call(this, state);
    };
    this.#timer = this.#clock.schedule(delayMs, run, { background: this.#background });
    return this;
  }
}
