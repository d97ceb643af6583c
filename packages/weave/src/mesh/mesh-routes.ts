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

/** Neighbours, and how many peers are reached through each. */
interface Neighbours {
  readonly hops: readonly PeerName[];
  readonly counts: readonly number[];
}

/** A peer's routes as of the last calculation, over data links and over all (mesh/routes.go). */
export class MeshRoutes {
  readonly #topology: Topology;
  readonly #ourself: PeerName;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #changed: () => void;
  readonly #unicast: Record<Links, UnicastRoutes>;
  #neighbours: Neighbours = { hops: [], counts: [] };
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
    const { hops, counts } = this.#neighbours;
    const weights = [...counts];
    const barred = hops.indexOf(except);
    if (barred >= 0) weights[barred] = 0;
    let total = weights.reduce((sum, weight) => sum + weight, 0);
    const most = barred >= 0 ? hops.length - 1 : hops.length;
    const needed = Math.floor(Math.min(2 * Math.log2(this.#unicast.all.size), most));
    const chosen: PeerName[] = [];
    while (chosen.length < needed) {
      let point = this.#random.below(total);
      for (let i = 0; i < hops.length; i++) {
        const weight = weights[i] as number;
        if (point < weight) {
          chosen.push(hops[i] as PeerName);
          total -= weight;
          weights[i] = 0; // that no point is below again
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
    this.#neighbours = neighboursOf(this.#unicast.all);
    this.#changed();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const task of waiting) task();
  }
}

function neighboursOf(routes: UnicastRoutes): Neighbours {
  const counts = new Map<PeerName, number>();
  for (const hop of routes.values()) {
    if (hop !== undefined) counts.set(hop, (counts.get(hop) ?? 0) + 1);
  }
  return { hops: [...counts.keys()], counts: [...counts.values()] };
}
