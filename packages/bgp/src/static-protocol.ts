import type { NetNamespace } from "@cnilab/linux";
import { Prefix } from "@cnilab/net";
import type { StaticRoute } from "./config.ts";
import { DEFAULT_PREFERENCE, type Destination, type RouteSender } from "./route.ts";
import type { RouteTable } from "./table.ts";

/** `protocol static`. */
export class StaticProtocol implements RouteSender {
  readonly name = "static1";
  readonly source = "static";
  readonly #table: RouteTable;
  readonly #netns: NetNamespace;
  readonly #pathId: number;
  #routes: readonly StaticRoute[] = [];

  constructor(table: RouteTable, netns: NetNamespace, pathId: number) {
    this.#table = table;
    this.#netns = netns;
    this.#pathId = pathId;
  }

  set(routes: readonly StaticRoute[]): void {
    const before = this.#routes;
    this.#routes = routes;
    for (const { prefix } of before) {
      if (routes.some((r) => r.prefix.equals(prefix))) continue;
      this.#table.withdraw(prefix, this, this.#pathId);
    }
    for (const route of routes) {
      const known = before.find((r) => r.prefix.equals(route.prefix));
      if (known?.via !== route.via || known === undefined) this.#put(route);
    }
  }

  /** Neighbours may have come, or gone. */
  scan(): void {
    for (const route of this.#routes) if (route.via !== undefined) this.#put(route);
  }

  /** A route to a neighbour is there while the neighbour is on a link. */
  #put(route: StaticRoute): void {
    const { prefix } = route;
    const destination = this.#destinationOf(route);
    const there = this.#table.get(prefix)?.routes.find((r) => r.sender === this);
    if (destination === undefined) this.#table.withdraw(prefix, this, this.#pathId);
    else if (there === undefined || !same(there.destination, destination)) {
      this.#table.update({
        prefix,
        sender: this,
        preference: DEFAULT_PREFERENCE.static,
        pathId: this.#pathId,
        destination,
        hostEntry: undefined,
        attributes: undefined,
        krtMetric: undefined,
        stale: false,
      });
    }
  }

  #destinationOf({ via }: StaticRoute): Destination | undefined {
    if (via === undefined) return { kind: "blackhole" };
    for (const dev of this.#netns.devices) {
      const onLink = dev.addresses.some(({ address, prefixLength }) =>
        new Prefix(address, prefixLength).contains(via),
      );
      if (dev.up && onLink) return { kind: "hops", hops: [{ dev, gateway: via }] };
    }
    return undefined;
  }
}

function same(x: Destination | undefined, y: Destination): boolean {
  if (x?.kind !== "hops" || y.kind !== "hops") return x?.kind === y.kind;
  return x.hops[0]?.dev === y.hops[0]?.dev;
}
