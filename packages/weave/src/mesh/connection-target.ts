import type { Random } from "@cnilab/core";

const INITIAL_INTERVAL_MS = 2_000;
const MAX_INTERVAL_MS = 360_000;
/** A connection that lasted so long was a good one. */
const RESET_AFTER_MS = 60_000;
/** So often somebody waits for one that does not answer; from then on it goes on in the background. */
const PATIENCE = 3;

export type TargetState = "waiting" | "attempting" | "connected" | "suspended";

/** An address where a peer may be found, and when it is tried (mesh/connection_maker.go target). */
export class ConnectionTarget {
  readonly address: string;
  state: TargetState = "waiting";
  /** What ended it the last time. */
  lastError: Error | undefined = undefined;
  #tryAfter: number | undefined;
  #interval = INITIAL_INTERVAL_MS;
  #failures = 0;

  constructor(address: string, now: number) {
    this.address = address;
    this.#tryAfter = now;
  }

  /** Virtual milliseconds; `undefined` for never. */
  get tryAfter(): number | undefined {
    return this.#tryAfter;
  }

  get isHopeful(): boolean {
    return this.#failures < PATIENCE;
  }

  tryNever(): void {
    this.#tryAfter = undefined;
    this.#interval = MAX_INTERVAL_MS;
  }

  tryNow(now: number): void {
    this.#tryAfter = now;
    this.#interval = INITIAL_INTERVAL_MS;
    this.#failures = 0;
  }

  /** Half to one and a half times the interval. */
  tryLater(now: number, random: Random): void {
    this.#failures++;
    this.#tryAfter = now + this.#interval / 2 + random.below(Math.ceil(this.#interval));
    this.#interval = Math.min(this.#interval * 1.5, MAX_INTERVAL_MS);
  }

  /** A connection that was there has ended. */
  tryAgain(now: number, random: Random): void {
    if (now > (this.#tryAfter ?? 0) + RESET_AFTER_MS) this.tryNow(now);
    else this.tryLater(now, random);
  }
}
