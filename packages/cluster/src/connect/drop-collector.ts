import type { Drop, Network } from "@cnilab/linux";

/** Gathers the packets that end on the way while something is under way; what ended before is nobody's. */
export class DropCollector {
  readonly drops: Drop[] = [];
  readonly #network: Network;
  readonly #concerns: (drop: Drop) => boolean;

  constructor(network: Network, concerns: (drop: Drop) => boolean) {
    this.#network = network;
    this.#concerns = concerns;
    network.takeDrops();
  }

  collect(): void {
    for (const drop of this.#network.takeDrops()) if (this.#concerns(drop)) this.drops.push(drop);
  }

  /** Turns the clock until `done`, or a moment of it. @param until virtual milliseconds */
  turnClock(done: () => boolean, until: number): void {
    this.collect();
    while (!done() && this.#network.clock.step(until)) this.collect();
  }
}
