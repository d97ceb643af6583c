import { Model } from "./model.ts";
import type { Step, Verdict } from "./topology.ts";

/** Machines, all alike but for their randomness, that are asked at most about a flow. */
const MOST_SEEDS = 64;

/**
 * What one machine after the other says, all alike but for their randomness. What many choices lead to together may be
 * what one machine in thirty says: where two of 64 do not say the same, 256 are asked, and until the later half of
 * them has said nothing new.
 */
export function* saidByMachines<Said>(ask: (seed: number) => Said): Generator<Said> {
  const known = new Set<string>();
  let enough = 64;
  for (let seed = 1; seed <= enough; seed++) {
    const said = ask(seed);
    yield said;
    const text = JSON.stringify(said);
    if (known.has(text)) continue;
    known.add(text);
    if (known.size > 1) enough = Math.min(Math.max(256, 2 * seed), 1024);
  }
}

/** What may become of each flow of a case: several things where chance decides. */
export class Outcomes {
  readonly #steps: readonly Step[];
  readonly #waitMs: number | undefined;
  readonly #release: string | undefined;
  readonly #text: (verdict: Verdict) => string;
  readonly #found: Set<string>[];
  #seeds: number;

  /** @param verdicts what became of the flows in the first machine */
  constructor(
    steps: readonly Step[],
    waitMs: number | undefined,
    release: string | undefined,
    verdicts: readonly Verdict[],
    text: (verdict: Verdict) => string,
  ) {
    this.#steps = steps;
    this.#waitMs = waitMs;
    this.#release = release;
    this.#text = text;
    this.#found = verdicts.map((verdict) => new Set([text(verdict)]));
    this.#seeds = steps.some(leavesToChance) ? 1 : MOST_SEEDS;
  }

  /** Whether this can become of a flow. Asks further machines as long as none has done it. */
  has(flow: number, text: string): boolean {
    const found = this.#found[flow] as Set<string>;
    while (!found.has(text) && this.#seeds < MOST_SEEDS) this.#ask(++this.#seeds);
    return found.has(text);
  }

  /** All that was found for a flow. */
  text(flow: number): string {
    return [...(this.#found[flow] as Set<string>)].join(" | ");
  }

  #ask(seed: number): void {
    const verdicts = new Model(this.#steps, this.#waitMs, seed, this.#release).verdicts();
    for (const [i, verdict] of verdicts.entries()) this.#found[i]?.add(this.#text(verdict));
  }
}

/** Whether what becomes of a flow may depend on randomness, or on which flow comes first. */
export function leavesToChance(step: Step): boolean {
  switch (step.do) {
    case "service":
      return true;
    case "route":
      return step.nexthops !== undefined;
    case "iptables":
      return /--mode|--random|recent|limit/.test(step.rule);
    case "nftables":
      return /numgen|random|limit|quota/.test(step.text);
    default:
      return false;
  }
}
