import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import type { Scheduler } from "../scheduler.ts";
import { leastByWeight } from "./least-by-weight.ts";

/** What connections cost: an active one 257 times as much as one that is over (`ip_vs_dest_conn_overhead`). */
function overhead({ activeConns, totalConns }: IpVsDest): number {
  return activeConns * 256 + totalConns;
}

function connections({ activeConns, inactConns }: IpVsDest): string {
  return `${activeConns} active and ${inactConns} inactive connections`;
}

/** The server with the fewest connections, whatever its weight (net/netfilter/ipvs/ip_vs_lc.c). */
export class LeastConnection implements Scheduler {
  readonly name = "lc";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    let least: IpVsDest | undefined;
    for (const dest of this.#service.destinations) {
      if (!dest.takesConnections) continue;
      if (least === undefined || overhead(dest) < overhead(least)) least = dest;
    }
    return least;
  }

  why(dest: IpVsDest): string {
    return `the fewest connections: ${connections(dest)}`;
  }
}

/** The server with the fewest connections for its weight (net/netfilter/ipvs/ip_vs_wlc.c). */
export class WeightedLeastConnection implements Scheduler {
  readonly name = "wlc";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(): IpVsDest | undefined {
    return leastByWeight(this.#service.destinations, overhead);
  }

  why(dest: IpVsDest): string {
    return `the fewest connections for its weight ${dest.weight}: ${connections(dest)}`;
  }
}
