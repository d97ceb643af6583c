import type { Match, MatchExtension } from "../extension.ts";
import { parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";
import { formatRate, parseRate, TokenBucket } from "./rate.ts";

const DEFAULT_BURST = 5;
const DEFAULT_RATE = "3/hour";

class LimitMatch implements Match {
  readonly pure = false;
  /** Between two packets, in 1/10,000 s. */
  readonly #interval: number;
  readonly #burst: number;

  constructor(interval: number, burst: number) {
    this.#interval = interval;
    this.#burst = burst;
  }

  matches(walk: Walk): boolean {
    const { network } = walk.netns;
    network.recording?.unrepeatable();
    const { now } = network.clock;
    return walk.memory.of(this, () => new TokenBucket(this.#interval, this.#burst, now)).take(now);
  }

  get text(): string {
    const burst = this.#burst === DEFAULT_BURST ? "" : ` --limit-burst ${this.#burst}`;
    return `-m limit --limit ${formatRate(this.#interval)}${burst}`;
  }
}

export const limit: MatchExtension = {
  names: ["limit"],
  options: [
    { name: "limit", args: 1 },
    { name: "limit-burst", args: 1 },
  ],
  parse(values) {
    const interval = parseRate(values.word("limit") ?? DEFAULT_RATE);
    const burst = values.parsed("limit-burst", (word) => parseUint(word, 10_000)) ?? DEFAULT_BURST;
    return new LimitMatch(interval, burst === 0 ? DEFAULT_BURST : burst);
  },
};
