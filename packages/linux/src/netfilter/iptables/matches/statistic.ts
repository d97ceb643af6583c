import { type Match, type MatchExtension, not } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

/** Probabilities are kept as integers: this one is certainty. */
const CERTAIN = 0x80000000;

class RandomMatch implements Match {
  readonly pure = false;
  /** 0 … {@link CERTAIN} */
  readonly #probability: number;
  readonly #inverted: boolean;

  constructor(probability: number, inverted: boolean) {
    this.#probability = probability;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    const { netns } = walk;
    netns.network.recording?.unrepeatable();
    // statistic_mt: 31 random bits against the 31 bits of the probability
    return netns.kernel.random.uint32() >>> 1 < this.#probability !== this.#inverted;
  }

  get text(): string {
    const probability = (this.#probability / CERTAIN).toFixed(11);
    return `-m statistic --mode random ${not(this.#inverted)}--probability ${probability}`;
  }
}

/** Matches one packet of every `every`. */
class NthMatch implements Match {
  readonly pure = false;
  readonly #every: number;
  readonly #packet: number;
  readonly #inverted: boolean;

  constructor(every: number, packet: number, inverted: boolean) {
    this.#every = every;
    this.#packet = packet;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    walk.netns.network.recording?.unrepeatable();
    const counter = walk.memory.of(this, () => ({ count: this.#every - 1 - this.#packet }));
    // It matches when the counter is about to start again, so at first behind `packet` others.
    const last = counter.count === this.#every - 1;
    counter.count = last ? 0 : counter.count + 1;
    return last !== this.#inverted;
  }

  get text(): string {
    return `-m statistic --mode nth ${not(this.#inverted)}--every ${this.#every} --packet ${this.#packet}`;
  }
}

function parseProbability(text: string): number | undefined {
  if (!/^([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?$/i.test(text)) return undefined;
  const value = Number(text);
  // lround(0x80000000 * value)
  return value <= 1 ? Math.round(value * CERTAIN) : undefined;
}

export const statistic: MatchExtension = {
  names: ["statistic"],
  options: [
    { name: "mode", args: 1 },
    { name: "probability", args: 1, invertible: true },
    { name: "every", args: 1, invertible: true },
    { name: "packet", args: 1 },
  ],
  parse(values) {
    const mode = values.required("mode");
    const probability = values.word("probability");
    if (mode === "random") {
      if (probability === undefined) {
        throw parameterProblem("--probability must be specified when using random mode");
      }
      const value = parseProbability(probability);
      if (value === undefined) {
        throw parameterProblem(
          'statistic: bad value for option "--probability", or out of range (0-1).\n',
        );
      }
      return new RandomMatch(value, values.isInverted("probability"));
    }
    if (mode !== "nth") throw parameterProblem(`Bad mode "${mode}"`);
    const every = values.parsed("every", (word) => parseUint(word) || undefined);
    if (every === undefined)
      throw parameterProblem("--every must be specified when using nth mode");
    const packet = values.parsed("packet", parseUint);
    if (packet === undefined) {
      throw parameterProblem('statistic: option "--every" also requires "--packet".\n');
    }
    if (packet >= every) throw parameterProblem("the --packet p must be 0 <= p <= n-1");
    return new NthMatch(every, packet, values.isInverted("every"));
  },
};
