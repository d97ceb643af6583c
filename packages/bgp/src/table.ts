import {
  addressBits,
  compareIp,
  type IpAddress,
  type IpFamily,
  maskIp,
  type Prefix,
} from "@cnilab/net";
import { isBetter } from "./best-path.ts";
import { type HostEntry, IGP_METRIC_UNKNOWN } from "./host-entry.ts";
import type { Hop, RouteSender, TableRoute } from "./route.ts";

/** A prefix and the routes to it. */
export interface TableEntry {
  readonly prefix: Prefix;
  /** The best one first; the others in no order. */
  routes: TableRoute[];
}

/** A routing table of one family (BIRD's `master`). */
export class RouteTable {
  readonly family: IpFamily;
  /** Told of each prefix whose routes are others now. */
  readonly #changed: (entry: TableEntry) => void;
  /** Whether an address is one of this machine. */
  readonly #isLocal: (address: IpAddress) => boolean;
  readonly #byLength: (Map<IpAddress, TableEntry> | undefined)[] = [];
  readonly #hosts = new Map<IpAddress, HostEntry>();
  #size = 0;
  /** Between these are all next hops: most prefixes are nowhere near. */
  #lowestHost: IpAddress | undefined;
  #highestHost: IpAddress | undefined;

  constructor(
    family: IpFamily,
    isLocal: (address: IpAddress) => boolean,
    changed: (entry: TableEntry) => void,
  ) {
    this.family = family;
    this.#isLocal = isLocal;
    this.#changed = changed;
  }

  /** Prefixes that have a route. */
  get size(): number {
    return this.#size;
  }

  *entries(): Iterable<TableEntry> {
    for (const map of this.#byLength) if (map !== undefined) yield* map.values();
  }

  get(prefix: Prefix): TableEntry | undefined {
    return this.#byLength[prefix.length]?.get(prefix.address);
  }

  /** The entry of the longest prefix around an address. */
  lookup(address: IpAddress): TableEntry | undefined {
    for (let length = addressBits(this.family); length >= 0; length--) {
      const found = this.#byLength[length]?.get(maskIp(address, length));
      if (found !== undefined && found.routes.length > 0) return found;
    }
    return undefined;
  }

  /** Takes a route in, in place of the one that its sender had for this path (`rte_update`). */
  update(route: TableRoute): void {
    const entry = this.#entry(route.prefix);
    const at = entry.routes.findIndex((r) => isSamePath(r, route));
    if (route.hostEntry !== undefined) route.hostEntry.users++;
    if (at >= 0) this.#release(entry.routes[at] as TableRoute);
    else if (entry.routes.length === 0) this.#size++;
    const others = at < 0 ? entry.routes : entry.routes.toSpliced(at, 1);
    entry.routes = bestFirst([...others, route]);
    this.#touched(entry, route);
  }

  /** Takes a route of a sender out; nothing where there is none. */
  withdraw(prefix: Prefix, sender: RouteSender, pathId: number): void {
    const entry = this.get(prefix);
    const route = entry?.routes.find((r) => r.sender === sender && r.pathId === pathId);
    if (entry !== undefined && route !== undefined) this.#remove(entry, route);
  }

  /** Takes out all routes of a sender that `gone` says. */
  flush(sender: RouteSender, gone: (route: TableRoute) => boolean = () => true): void {
    for (const entry of [...this.entries()]) {
      for (const route of entry.routes) {
        if (route.sender === sender && gone(route)) this.#remove(entry, route);
      }
    }
  }

  /** Forgets a prefix without routes, once everybody has heard of it. */
  forget({ prefix, routes }: TableEntry): void {
    if (routes.length === 0) this.#byLength[prefix.length]?.delete(prefix.address);
  }

  *routesOf(sender: RouteSender): Iterable<TableRoute> {
    for (const { routes } of this.entries()) {
      for (const route of routes) if (route.sender === sender) yield route;
    }
  }

  /** A next hop of BGP, and where it leads by this table; kept true while somebody uses it. */
  host(address: IpAddress): HostEntry {
    let entry = this.#hosts.get(address);
    if (entry === undefined) {
      entry = {
        address,
        hops: undefined,
        blackhole: false,
        igpMetric: IGP_METRIC_UNKNOWN,
        users: 0,
      };
      this.#hosts.set(address, entry);
      const [low, high] = [this.#lowestHost, this.#highestHost];
      if (low === undefined || compareIp(address, low) < 0) this.#lowestHost = address;
      if (high === undefined || compareIp(address, high) > 0) this.#highestHost = address;
      this.#resolve(entry);
    }
    return entry;
  }

  #entry(prefix: Prefix): TableEntry {
    let map = this.#byLength[prefix.length];
    if (map === undefined) {
      map = new Map();
      this.#byLength[prefix.length] = map;
    }
    let entry = map.get(prefix.address);
    if (entry === undefined) {
      entry = { prefix, routes: [] };
      map.set(prefix.address, entry);
    }
    return entry;
  }

  #remove(entry: TableEntry, route: TableRoute): void {
    this.#release(route);
    entry.routes = bestFirst(entry.routes.filter((r) => r !== route));
    if (entry.routes.length === 0) this.#size--;
    this.#touched(entry, route);
  }

  #release({ hostEntry }: TableRoute): void {
    if (hostEntry !== undefined && --hostEntry.users === 0) this.#hosts.delete(hostEntry.address);
  }

  #touched(entry: TableEntry, route: TableRoute): void {
    this.#changed(entry);
    this.#resolveAround(route.prefix);
  }

  /** A route has come or gone: next hops inside of its prefix may lead elsewhere (`rt_next_hop_update`). */
  #resolveAround(prefix: Prefix): void {
    const [low, high] = [this.#lowestHost, this.#highestHost];
    if (low === undefined || high === undefined || !reaches(prefix, low, high)) return;
    const moved = new Set<HostEntry>();
    for (const host of this.#hosts.values()) {
      if (prefix.contains(host.address) && this.#resolve(host)) moved.add(host);
    }
    if (moved.size === 0) return;
    for (const entry of this.entries()) {
      if (!entry.routes.some((r) => r.hostEntry !== undefined && moved.has(r.hostEntry))) continue;
      entry.routes = bestFirst(entry.routes);
      this.#changed(entry);
    }
  }

  /** `rt_update_hostentry`. @returns whether it leads elsewhere now */
  #resolve(host: HostEntry): boolean {
    const { hops, blackhole, igpMetric } = host;
    const best = this.lookup(host.address)?.routes[0];
    host.hops = undefined;
    host.blackhole = false;
    host.igpMetric = IGP_METRIC_UNKNOWN;
    // "Next hop address … resolvable through recursive route" is none.
    const destination = best?.destination;
    if (best !== undefined && destination?.kind === "hops") {
      const onLink = destination.hops.every(({ gateway }) => gateway === undefined);
      if (!onLink) host.hops = destination.hops;
      else if (!this.#isLocal(host.address)) {
        host.hops = destination.hops.map(({ dev }) => ({ dev, gateway: host.address }));
      }
      if (onLink) host.igpMetric = 0;
    }
    if (destination?.kind === "blackhole") host.blackhole = true;
    return (
      blackhole !== host.blackhole || igpMetric !== host.igpMetric || !sameHops(hops, host.hops)
    );
  }
}

/** Whether a prefix has addresses from one to another. */
function reaches(prefix: Prefix, low: IpAddress, high: IpAddress): boolean {
  const { address } = prefix;
  return prefix.contains(low) || (compareIp(address, low) >= 0 && compareIp(address, high) <= 0);
}

function isSamePath(x: TableRoute, y: TableRoute): boolean {
  return x.sender === y.sender && x.pathId === y.pathId;
}

/** The best one is put in front (`rte_recalculate`): a later one wins only by being better. */
function bestFirst(routes: readonly TableRoute[]): TableRoute[] {
  let best = 0;
  for (let i = 1; i < routes.length; i++) {
    if (isBetter(routes[i] as TableRoute, routes[best] as TableRoute)) best = i;
  }
  if (best === 0) return [...routes];
  return [routes[best] as TableRoute, ...routes.toSpliced(best, 1)];
}

function sameHops(x: readonly Hop[] | undefined, y: readonly Hop[] | undefined): boolean {
  if (x === undefined || y === undefined) return x === y;
  return (
    x.length === y.length &&
    x.every((hop, i) => hop.dev === y[i]?.dev && hop.gateway === y[i]?.gateway)
  );
}
