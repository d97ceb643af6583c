import { SeededRandom } from "@cnilab/core";

/** Choices that a seed makes. Each feature has a stream of its own: to widen one leaves the others as they were. */
export class Choice {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  static of(seed: number): Choice {
    return new Choice(new SeededRandom(seed, "fuzz"));
  }

  fork(name: string): Choice {
    return new Choice(this.#random.fork(name));
  }

  below(n: number): number {
    return this.#random.below(n);
  }

  /** From `first` to `last`. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Some of a list, at least one, in its order. */
  several<T>(list: readonly T[]): T[] {
    const chosen = list.filter(() => this.chance(50));
    return chosen.length === 0 ? [this.pick(list)] : chosen;
  }

  /** Does something 0 to `most` times. */
  some(most: number, make: () => void): void {
    for (let n = this.below(most + 1); n > 0; n--) make();
  }

  family(): 4 | 6 {
    return this.chance(35) ? 6 : 4;
  }
}
