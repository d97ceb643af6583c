import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import type { Scheduler } from "../scheduler.ts";
import { leastByWeight } from "./least-by-weight.ts";

/** Active connections with the one to come. */
function overhead({ activeConns }: IpVsDest): number {
  return activeConns + 1;
}

function delay({ activeConns, weight }: IpVsDest): string {
  return `(${activeConns} active + 1) / weight ${weight}`;
}

/** The server that will be done soonest, if weights are speeds (net/netfilter/ipvs/ip_vs_sed.c). */
export class ShortestExpectedDelay implements Scheduler {
  readonly name = "sed";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    return leastByWeight(this.#service.destinations, overhead);
  }

  why(dest: IpVsDest): string {
    return `the shortest expected delay: ${delay(dest)}`;
  }
}

/** An idle server if there is one, however slow; else as `sed` (net/netfilter/ipvs/ip_vs_nq.c). */
export class NeverQueue implements Scheduler {
  readonly name = "nq";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    const { destinations } = this.#service;
    const idle = destinations.find((d) => d.takesConnections && d.activeConns === 0);
    return idle ?? leastByWeight(destinations, overhead);
  }

  why(dest: IpVsDest): string {
    return dest.activeConns === 0 ? "idle" : `none is idle, the shortest delay: ${delay(dest)}`;
  }
}
