import type { ApiClient, Clock, Kind, Timer } from "@cnilab/core";
import { Subscription } from "rxjs";

/**
 * Calls a function again when objects of some kinds have changed: at once, but not more often than every `restMs`, with
 * all changes of the meantime together.
 */
export class SyncLoop {
  readonly #clock: Clock;
  readonly #restMs: number;
  readonly #sync: () => void;
  readonly #subscription = new Subscription();
  #timer: Timer | undefined;
  #last = Number.NEGATIVE_INFINITY;

  constructor(
    api: ApiClient,
    clock: Clock,
    options: { readonly kinds: readonly Kind[]; readonly restMs: number },
    sync: () => void,
  ) {
    this.#clock = clock;
    this.#restMs = options.restMs;
    this.#sync = sync;
    for (const kind of options.kinds) {
      this.#subscription.add(api.snapshots(kind).subscribe(() => this.soon()));
    }
    this.soon();
  }

  /** Something else has changed. */
  soon(): void {
    const rest = Math.max(0, this.#last + this.#restMs - this.#clock.now);
    this.#timer ??= this.#clock.schedule(rest, () => {
      this.#timer = undefined;
      this.#last = this.#clock.now;
      this.#sync();
    });
  }

  stop(): void {
    this.#subscription.unsubscribe();
    this.#timer?.cancel();
  }
}
