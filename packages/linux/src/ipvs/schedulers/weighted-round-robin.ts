import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import type { Scheduler } from "../scheduler.ts";
import { greatestCommonDivisor } from "./greatest-common-divisor.ts";

/**
 * In turn, as often as a server's weight says: rounds begin with those of the greatest weight only, and
 * each round the weight to have sinks (net/netfilter/ipvs/ip_vs_wrr.c).
 */
export class WeightedRoundRobin implements Scheduler {
  readonly name = "wrr";
  readonly #service: IpVsService;
  /** The one that was chosen last (`cl`); `undefined` stands for the head of the list. */
  #last: IpVsDest | undefined;
  /** The weight that a server needs in this round (`cw`). */
  #threshold: number;
  /** The threshold of the first round (`mw`) and how much lower each one is (`di`). */
  #highest: number;
  #step: number;

  constructor(service: IpVsService) {
    this.#service = service;
    this.#step = 1;
    this.#highest = 0;
    this.#measure();
    this.#threshold = this.#highest;
  }

  schedule(): IpVsDest | undefined {
    if (this.#highest === 0) return undefined;
    const { destinations } = this.#service;
    const last = this.#last;
    let stop = -1;
    let lastPass = false;
    let restarted = false;
    let at = last === undefined ? -1 : destinations.indexOf(last);
    for (;;) {
      for (at++; at < destinations.length; at++) {
        const dest = destinations[at] as IpVsDest;
        if (!dest.overloaded && dest.weight >= this.#threshold) {
          this.#last = dest;
          return dest;
        }
        if (at === stop) {
          this.#last = dest;
          return undefined;
        }
      }
      at = -1;
      this.#threshold -= this.#step;
      if (this.#threshold <= 0) {
        this.#threshold = this.#highest;
        // All were asked whether they have any weight at all.
        if (lastPass || last === undefined) {
          this.#last = undefined;
          return undefined;
        }
        restarted = true;
      }
      lastPass = this.#threshold <= this.#step;
      // Those behind `last` were asked in the first pass: what is left ends with it.
      if (lastPass && restarted && last !== undefined) stop = destinations.indexOf(last);
    }
  }

  why({ weight }: IpVsDest): string {
    return `the next in turn whose weight is at least ${this.#threshold}: ${weight}`;
  }

  destsChanged(): void {
    this.#last = undefined;
    this.#measure();
    if (this.#threshold > this.#highest || this.#threshold === 0) this.#threshold = this.#highest;
    else if (this.#step > 1) {
      this.#threshold = Math.floor(this.#threshold / this.#step) * this.#step + 1;
    }
  }

  #measure(): void {
    const weights = this.#service.destinations.map((d) => d.weight);
    this.#step = greatestCommonDivisor(weights) || 1;
    this.#highest = Math.max(0, ...weights) - (this.#step - 1);
  }
}
