import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import type { Scheduler } from "../scheduler.ts";

/** Each server in turn; those of weight 0 are passed over (net/netfilter/ipvs/ip_vs_rr.c). */
export class RoundRobin implements Scheduler {
  readonly name = "rr";
  readonly #service: IpVsService;
  /** The one that was chosen last; `undefined` stands for the head of the list. */
  #last: IpVsDest | undefined;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    const { destinations } = this.#service;
    const from = this.#last === undefined ? 0 : destinations.indexOf(this.#last) + 1;
    for (let i = 0; i < destinations.length; i++) {
      const dest = destinations[(from + i) % destinations.length] as IpVsDest;
      if (!dest.takesConnections) continue;
      this.#last = dest;
      return dest;
    }
    return undefined;
  }

  why(): string {
    return "the next in turn";
  }

  unlinked(dest: IpVsDest, at: number): void {
    if (dest === this.#last) this.#last = this.#service.destinations[at - 1];
  }
}
