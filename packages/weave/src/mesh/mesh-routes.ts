import type { Clock, Random, Timer } from "@cnilab/core";
import type { PeerName } from "./peer-name.ts";
import {
  broadcastRelays,
  type Links,
  type Topology,
  type UnicastRoutes,
  unicastRoutes,
} from "./routes.ts";

/** So long requests to calculate anew are gathered (`recalcDeferTime`). */
const RECALCULATE_MS = 100;

/** A peer's routes as of the last calculation, over data links and over all (mesh/routes.go). */
export class MeshRoutes {
  readonly #topology: Topology;
  readonly #ourself: PeerName;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #changed: () => void;
  readonly #unicast: Record<Links, UnicastRoutes>;
  readonly #broadcast: Record<Links, Map<PeerName, readonly PeerName[]>>;
  #timer: Timer | undefined;
  #waiting: (() => void)[] = [];

  constructor(
    topology: Topology,
    ourself: PeerName,
    more: { readonly clock: Clock; readonly random: Random; readonly changed: () => void },
  ) {
    this.#topology = topology;
    this.#ourself = ourself;
    this.#clock = more.clock;
    this.#random = more.random;
    this.#changed = more.changed;
    const alone = new Map([[ourself, undefined]]);
    this.#unicast = { established: alone, all: alone };
    this.#broadcast = { established: new Map(), all: new Map() };
  }

  unicast(links: Links): UnicastRoutes {
    return this.#unicast[links];
  }

  /** Neighbours that get what came from `origin`. */
  broadcast(origin: PeerName, links: Links): readonly PeerName[] {
    const known = this.#broadcast[links].get(origin);
    if (known !== undefined) return known;
    const relays = broadcastRelays(this.#topology, this.#ourself, origin, links);
    this.#broadcast[links].set(origin, relays);
    return relays;
  }

  /** 2 log2 of the number of peers, if there are so many: sooner those that more peers are reached through. */
  randomNeighbours(except: PeerName): PeerName[] {
    const routes = this.#unicast.all;
    const weights = new Map<PeerName, number>();
    let total = 0;
    for (const hop of routes.values()) {
      if (hop === undefined || hop === except) continue;
      weights.set(hop, (weights.get(hop) ?? 0) + 1);
      total++;
    }
    const needed = Math.floor(Math.min(2 * Math.log2(routes.size), weights.size));
    const chosen: PeerName[] = [];
    while (chosen.length < needed) {
      let point = this.#random.below(total);
      for (const [hop, weight] of weights) {
        if (point < weight) {
          chosen.push(hop);
          weights.delete(hop);
          total -= weight;
          break;
        }
        point -= weight;
      }
    }
    return chosen;
  }

  /** The topology is another one. */
  recalculate(): void {
    this.#timer ??= this.#clock.schedule(RECALCULATE_MS, () => {
      this.#timer = undefined;
      this.#calculate();
    });
  }

  /** Does it when the routes are those of the topology (`ensureRecalculated`). */
  whenRecalculated(task: () => void): void {
    if (this.#timer === undefined) task();
    else this.#waiting.push(task);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting = [];
  }

  #calculate(): void {
    for (const links of ["established", "all"] as const) {
      this.#unicast[links] = unicastRoutes(this.#topology, this.#ourself, links);
      this.#broadcast[links] = new Map();
    }
    this.#changed();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const task of waiting) task();
  }
}
