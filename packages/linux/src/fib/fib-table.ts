import { type IpAddress, type IpFamily, isLoopback, LpmTable, type Prefix } from "@cnilab/net";
import { LOOPBACK_ADDRESS4 } from "../device/interface-address.ts";
import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import { ipv4AddressRoutes } from "./address-routes.ts";
import { Nexthop, Route, type RouteFields, RT_SCOPE_LINK } from "./route.ts";

/** A route that many machines have in common, but for the device it leaves by. */
export interface SharedRoute {
  readonly prefix: Prefix;
  readonly gateway: IpAddress | undefined;
  readonly onlink: boolean;
}

/**
 * Routes that many machines have in common: every node of a cluster has one to every other node. A
 * layer is built once and attached to any number of tables. Immutable.
 */
export class RouteLayer {
  readonly #routes = new LpmTable<SharedRoute>();

  constructor(routes: Iterable<SharedRoute>) {
    for (const route of routes) this.#routes.set(route.prefix, route);
  }

  get size(): number {
    return this.#routes.size;
  }

  get(prefix: Prefix): SharedRoute | undefined {
    return this.#routes.get(prefix);
  }

  lookupShorter(address: IpAddress, below: number): SharedRoute | undefined {
    return this.#routes.lookupShorter(address, below);
  }

  entries(): Iterable<[Prefix, SharedRoute]> {
    return this.#routes;
  }
}

/** What a machine adds to the routes of a layer that it shares. */
export interface LayerRouteOptions {
  /** Next hop of routes that have none of their own. */
  readonly via?: IpAddress;
  /** `src` */
  readonly prefsrc?: IpAddress;
}

/** A layer in one table: through which device, and without which routes. */
class AttachedLayer {
  readonly layer: RouteLayer;
  readonly dev: NetDevice;
  readonly protocol: Route["protocol"];
  readonly mtu: number;
  readonly options: LayerRouteOptions;
  /** Routes of the layer that this table lacks, by text: its own node's, and those deleted by hand. */
  readonly without: Set<string>;
  /** Routes that a packet has used, so that each is made but once. */
  readonly made = new Map<SharedRoute, Route>();

  constructor(
    layer: RouteLayer,
    dev: NetDevice,
    protocol: Route["protocol"],
    without: Set<string>,
    mtu: number,
    options: LayerRouteOptions,
  ) {
    this.layer = layer;
    this.dev = dev;
    this.protocol = protocol;
    this.without = without;
    this.mtu = mtu;
    this.options = options;
  }

  route(shared: SharedRoute, table: number, metric: number): Route {
    let route = this.made.get(shared);
    if (route === undefined) {
      const { prefix, onlink } = shared;
      const gateway = shared.gateway ?? this.options.via;
      route = new Route({
        prefix,
        table,
        type: "unicast",
        scope: gateway === undefined ? RT_SCOPE_LINK : 0,
        protocol: this.protocol,
        metric,
        tos: 0,
        prefsrc: this.options.prefsrc,
        mtu: this.mtu,
        advmss: 0,
        nexthops: [new Nexthop(this.dev, gateway, onlink, 1, RT_SCOPE_LINK)],
        origin: undefined,
      });
      this.made.set(shared, route);
    }
    return route;
  }
}

const NO_OPTIONS: LayerRouteOptions = {};

/** What `ip route` does when there is a route to the prefix with this metric already. */
export type RouteCommand = "add" | "replace" | "append" | "prepend" | "change";

/** One routing table of one family. */
export class FibTable {
  readonly id: number;
  readonly family: IpFamily;
  /** The first of the routes to each prefix; the others hang on it in order of preference. */
  readonly #routes = new LpmTable<Route>();
  #layers: AttachedLayer[] | undefined;
  /** `lo`, while the routes of its address are still to be made. */
  #loopback: NetDevice | undefined;
  /** Programs that netlink tells of changes; hardly any table has one. */
  #listeners: Set<() => void> | undefined;

  constructor(id: number, family: IpFamily) {
    this.id = id;
    this.family = family;
  }

  /**
   * The best route for an address among prefixes shorter than `below` bits; callers that cannot use
   * it ask again with its length, as the kernel's trie walk backtracks.
   */
  lookupShorter(address: IpAddress, below: number): Route | undefined {
    if (this.#loopback !== undefined && isLoopback(address)) this.#addLoopback();
    const own = this.#routes.lookupShorter(address, below);
    if (this.#layers === undefined) return own;
    let best = own;
    for (const attached of this.#layers) {
      let limit = below;
      for (;;) {
        const shared = attached.layer.lookupShorter(address, limit);
        if (
          shared === undefined ||
          (best !== undefined && best.prefix.length >= shared.prefix.length)
        ) {
          break;
        }
        if (attached.without.size === 0 || !attached.without.has(shared.prefix.toString())) {
          best = attached.route(shared, this.id, this.#layerMetric);
          break;
        }
        limit = shared.prefix.length;
      }
    }
    return best;
  }

  /**
   * `lo` has got its address. The routes that come with it, which every namespace has and hardly one
   * uses, are made when somebody asks for an address in 127.0.0.0/8 or looks through the table.
   */
  addLoopbackLater(lo: NetDevice): void {
    this.#loopback = lo;
  }

  #addLoopback(): void {
    const lo = this.#loopback;
    if (lo === undefined) return;
    this.#loopback = undefined;
    for (const route of ipv4AddressRoutes(lo, LOOPBACK_ADDRESS4)) {
      if (!this.has(route)) this.insert(route, "append");
    }
  }

  /** Calls `listener` after each change, as `RTM_NEWROUTE` and `RTM_DELROUTE` tell programs. @returns how to stop it */
  onChange(listener: () => void): () => void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => {
      this.#listeners?.delete(listener);
      if (this.#listeners?.size === 0) this.#listeners = undefined;
    };
  }

  #tell(): void {
    if (this.#listeners === undefined) return;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Metric of routes given without one: none in IPv4, IP6_RT_PRIO_USER in IPv6. */
  get #layerMetric(): number {
    return this.family === 4 ? 0 : 1024;
  }

  /** The routes to exactly this prefix, best first. */
  routesTo(prefix: Prefix): Route[] {
    if (isLoopback(prefix.address)) this.#addLoopback();
    const found: Route[] = [];
    for (let r = this.#routes.get(prefix); r !== undefined; r = r.next) found.push(r);
    for (const attached of this.#layers ?? []) {
      const shared = attached.layer.get(prefix);
      if (shared !== undefined && !attached.without.has(prefix.toString())) {
        found.push(attached.route(shared, this.id, this.#layerMetric));
      }
    }
    return found;
  }

  /**
   * Adds a route as `fib_table_insert` (IPv4) and `fib6_add_rt2node` (IPv6) do.
   * @throws KernelError EEXIST, ENOENT
   */
  insert(fields: RouteFields, command: RouteCommand): Route {
    if (isLoopback(fields.prefix.address)) this.#addLoopback();
    const isFirst = this.#layers === undefined && this.#routes.get(fields.prefix) === undefined;
    if (isFirst && command !== "change") return this.#link(new Route(fields), true);
    const same = this.routesTo(fields.prefix).filter(
      (r) => r.metric === fields.metric && (this.family === 6 || r.tos === fields.tos),
    );
    if (same.length > 0 && command === "add") throw this.#error("EEXIST", fields.prefix);
    if (same.length === 0 && command === "change") throw this.#error("ENOENT", fields.prefix);
    const route = new Route(fields);
    const twin = same.find((r) => sameRoute(r, route));
    const first = same[0];
    if (first !== undefined && (command === "replace" || command === "change")) {
      if (twin === first && same.length === 1) return first;
      if (this.family === 6) for (const old of same) this.#unlink(old);
      else this.#unlink(first);
      if (twin !== undefined && twin !== first && this.family === 4)
        throw this.#error("EEXIST", fields.prefix);
    } else if (twin !== undefined) {
      throw this.#error("EEXIST", fields.prefix);
    }
    const siblings =
      this.family === 6 && command === "append"
        ? same.find((r) => r.type === "unicast" && r.nexthops.every((n) => n.gateway !== undefined))
        : undefined;
    if (
      siblings !== undefined &&
      fields.type === "unicast" &&
      fields.nexthops.every((n) => n.gateway !== undefined)
    ) {
      // IPv6 joins routes of one prefix and metric that have gateways into one multipath route.
      this.#unlink(siblings);
      const copies = siblings.nexthops.map(
        (n) => new Nexthop(n.dev, n.gateway, n.onlink, n.weight, n.scope),
      );
      return this.#link(new Route({ ...fields, nexthops: [...copies, ...fields.nexthops] }), false);
    }
    return this.#link(route, command !== "append");
  }

  /** Whether there is this very route already: {@link insert} would throw EEXIST. */
  has(fields: RouteFields): boolean {
    return this.routesTo(fields.prefix).some(
      (r) =>
        r.metric === fields.metric &&
        (this.family === 6 || r.tos === fields.tos) &&
        sameRoute(r, fields),
    );
  }

  /** Removes the first route that fits. @throws KernelError ESRCH */
  remove(prefix: Prefix, fits: (route: Route) => boolean): Route {
    const route = this.routesTo(prefix).find(fits);
    if (route === undefined) throw this.#error("ESRCH", prefix);
    this.#unlink(route);
    return route;
  }

  /** Removes every route that `fits` says and returns how many there were. */
  removeAll(fits: (route: Route) => boolean): number {
    this.#addLoopback();
    const gone: Route[] = [];
    for (const [, first] of this.#routes) {
      for (let r: Route | undefined = first; r !== undefined; r = r.next) if (fits(r)) gone.push(r);
    }
    for (const route of gone) this.#unlink(route);
    return gone.length;
  }

  /**
   * Sets or takes away (`undefined`) the layer of routes that leave by `dev` and are of `protocol`: each program that has routes in
   * common with others may bring one.
   * @param mtu what the routes say of it, in bytes; 0 for nothing
   */
  setLayer(
    dev: NetDevice,
    layer: RouteLayer | undefined,
    protocol: Route["protocol"] = "boot",
    without: readonly Prefix[] = [],
    mtu = 0,
    options: LayerRouteOptions = NO_OPTIONS,
  ): void {
    const others = (this.#layers ?? []).filter((a) => a.dev !== dev || a.protocol !== protocol);
    if (layer !== undefined) {
      others.push(
        new AttachedLayer(layer, dev, protocol, new Set(without.map(String)), mtu, options),
      );
    }
    this.#layers = others.length > 0 ? others : undefined;
    this.#tell();
  }

  /** Takes away all layers of routes that leave by `dev`. */
  removeLayers(dev: NetDevice): void {
    const others = this.#layers?.filter((a) => a.dev !== dev);
    this.#layers = others?.length ? others : undefined;
  }

  /** The layer of routes that leave by `dev` and are of `protocol`, and which of its routes (as text) this table lacks. */
  layerOf(
    dev: NetDevice,
    protocol: Route["protocol"] = "boot",
  ): { layer: RouteLayer; without: ReadonlySet<string> } | undefined {
    return this.#layers?.find((a) => a.dev === dev && a.protocol === protocol);
  }

  /** Routes of this table alone, without those of layers. */
  *ownRoutes(): Iterable<Route> {
    this.#addLoopback();
    for (const [, first] of this.#routes) {
      for (let r: Route | undefined = first; r !== undefined; r = r.next) yield r;
    }
  }

  get size(): number {
    this.#addLoopback();
    let size = this.#routes.size;
    for (const { layer, without } of this.#layers ?? []) size += layer.size - without.size;
    return size;
  }

  /** All routes in the order of `ip route show`: by address, shorter prefixes first. */
  *routes(): Iterable<Route> {
    if (this.#layers === undefined) {
      yield* this.ownRoutes();
      return;
    }
    this.#addLoopback();
    const all = new LpmTable<Prefix>();
    for (const [prefix] of this.#routes) all.set(prefix, prefix);
    for (const { layer } of this.#layers) {
      for (const [prefix] of layer.entries()) all.set(prefix, prefix);
    }
    for (const [prefix] of all) yield* this.routesTo(prefix);
  }

  /** @param first among routes of equal metric, before or behind those there are */
  #link(route: Route, first: boolean): Route {
    const goesBehind = (other: Route) =>
      other.tos > route.tos ||
      (other.tos === route.tos &&
        (other.metric < route.metric || (!first && other.metric === route.metric)));
    let before: Route | undefined;
    let after = this.#routes.get(route.prefix);
    while (after !== undefined && goesBehind(after)) {
      before = after;
      after = after.next;
    }
    route.next = after;
    if (before === undefined) this.#routes.set(route.prefix, route);
    else before.next = route;
    this.#tell();
    return route;
  }

  #unlink(route: Route): void {
    this.#unhook(route);
    this.#tell();
  }

  #unhook(route: Route): void {
    const first = this.#routes.get(route.prefix);
    if (first === route) {
      if (route.next === undefined) this.#routes.delete(route.prefix);
      else this.#routes.set(route.prefix, route.next);
      route.next = undefined;
      return;
    }
    for (let r = first; r !== undefined; r = r.next) {
      if (r.next === route) {
        r.next = route.next;
        route.next = undefined;
        return;
      }
    }
    // It belongs to a layer, which stays as it is for the others.
    for (const attached of this.#layers ?? []) {
      const shared = attached.layer.get(route.prefix);
      if (shared !== undefined && attached.made.get(shared) === route) {
        attached.without.add(route.prefix.toString());
      }
    }
  }

  #error(errno: "EEXIST" | "ENOENT" | "ESRCH", prefix: Prefix): KernelError {
    return new KernelError(errno, `route ${prefix} in table ${this.id}`);
  }
}

function sameRoute(x: Route, y: RouteFields): boolean {
  return (
    x.type === y.type &&
    x.scope === y.scope &&
    x.protocol === y.protocol &&
    x.prefsrc === y.prefsrc &&
    x.nexthops.length === y.nexthops.length &&
    x.nexthops.every((n, i) => n.sameAs(y.nexthops[i] as Nexthop))
  );
}
