import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import type { Scheduler } from "../scheduler.ts";

/** The one of the greatest weight, the first of equals. */
function heaviest(destinations: readonly IpVsDest[]): IpVsDest | undefined {
  let found: IpVsDest | undefined;
  for (const dest of destinations) {
    if (dest.weight > (found?.weight ?? 0)) found = dest;
  }
  return found;
}

/** Always the server of the greatest weight (net/netfilter/ipvs/ip_vs_fo.c). */
export class Failover implements Scheduler {
  readonly name = "fo";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    return heaviest(this.#service.destinations.filter((d) => !d.overloaded));
  }

  why({ weight }: IpVsDest): string {
    return `the greatest weight: ${weight}`;
  }
}

/** The server of the greatest weight that has no more active connections than that (net/netfilter/ipvs/ip_vs_ovf.c). */
export class Overflow implements Scheduler {
  readonly name = "ovf";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    const { destinations } = this.#service;
    return heaviest(destinations.filter((d) => !d.overloaded && d.activeConns <= d.weight));
  }

  why({ weight, activeConns }: IpVsDest): string {
    return `the greatest weight that is not used up: ${weight}, ${activeConns} active connections`;
  }
}
