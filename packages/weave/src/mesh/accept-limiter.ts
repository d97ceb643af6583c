import type { Clock } from "@cnilab/core";

/** `acceptMaxTokens`, `acceptTokenDelay`. */
const TOKENS = 20;
const TOKEN_MS = 50;

/**
 * Lets one connection in each 50 ms, and more at once after a time of rest (mesh/token_bucket.go). The wait comes after a connection is taken:
 * the first of all does not wait, nor does that whose token is due now.
 */
export class AcceptLimiter {
  readonly #clock: Clock;
  #earliestToken: number;
  #ready: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#ready = clock.now;
    this.#earliestToken = clock.now - TOKENS * TOKEN_MS;
  }

  /** A connection has come. @returns milliseconds until it is taken */
  take(): number {
    const { now } = this.#clock;
    const at = Math.max(now, this.#ready);
    this.#ready = Math.max(at, this.#earliestToken);
    const oldest = this.#ready - TOKENS * TOKEN_MS;
    this.#earliestToken = Math.max(this.#earliestToken, oldest) + TOKEN_MS;
    return at - now;
  }
}
