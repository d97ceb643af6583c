import {
  KernelError,
  type NetDevice,
  type NetNamespace,
  type RouteLayer,
  type SharedRoute,
  type Vxlan,
} from "@cnilab/linux";
import type { IpAddress, IpFamily, Mac, Prefix } from "@cnilab/net";

/**
 * State of one kind that a node has in common with all others, attached to its kernel as a layer. It
 * stays so while nobody else touches it; then the node goes on with a copy of its own.
 *
 * @typeParam L the layer
 * @typeParam K what names an entry of it
 */
export interface LayerSlot<L, K> {
  /** Whether the kernel still has exactly what was attached here. */
  readonly intact: boolean;
  /** Instead of what was attached before. @param own entries that are about this node itself, which it goes without */
  attach(layer: L, own: readonly K[]): void;
  /**
   * As {@link attach}, for a program that has just started: of what an earlier run left, all stays
   * that is not replaced.
   */
  takeOver(layer: L, own: readonly K[]): void;
  /** Turns what is left of the layer into entries of the node's own. */
  materialise(): void;
}

/** Metric of IPv6 routes given without one (`IP6_RT_PRIO_USER`). */
const IPV6_USER_METRIC = 1024;

/** Routes of the main table that leave by one device. */
export class RouteSlot implements LayerSlot<RouteLayer, Prefix> {
  readonly #dev: NetDevice;
  readonly #family: IpFamily;
  #layer: RouteLayer | undefined;
  #without = 0;

  constructor(dev: NetDevice, family: IpFamily) {
    this.#dev = dev;
    this.#family = family;
  }

  get #table() {
    return this.#dev.netns.fib(this.#family).main;
  }

  get intact(): boolean {
    const now = this.#table.layerOf(this.#dev);
    return now?.layer === this.#layer && (now?.without.size ?? 0) === this.#without;
  }

  attach(layer: RouteLayer, own: readonly Prefix[]): void {
    const without = own.filter((prefix) => layer.get(prefix) !== undefined);
    this.#replaceOwn(layer, own);
    this.#layer = layer;
    this.#without = without.length;
    this.#table.setLayer(this.#dev, layer, "boot", without);
    this.#dev.network.touch();
  }

  /** Routes of the node's own to the same subnets, as of another backend: `ip route replace` puts an end to them. */
  #replaceOwn(layer: RouteLayer, own: readonly Prefix[]): void {
    const metric = this.#family === 6 ? IPV6_USER_METRIC : 0;
    for (const route of [...this.#table.ownRoutes()]) {
      const { prefix, protocol } = route;
      if (protocol === "kernel" || route.metric !== metric) continue;
      if (own.some((p) => p.equals(prefix))) continue;
      if (layer.get(prefix) !== undefined) this.#table.remove(prefix, (r) => r === route);
    }
  }

  takeOver(layer: RouteLayer, own: readonly Prefix[]): void {
    const before = this.#table.layerOf(this.#dev);
    const left = before === undefined ? [] : missingRoutes(before.layer, layer);
    const without = new Set(before?.without);
    this.attach(layer, own);
    for (const route of left) if (!without.has(String(route.prefix))) addRoute(this.#dev, route);
  }

  materialise(): void {
    const now = this.#table.layerOf(this.#dev);
    this.#layer = undefined;
    this.#without = 0;
    if (now === undefined) return;
    this.#table.setLayer(this.#dev, undefined);
    for (const [prefix, route] of now.layer.entries()) {
      if (!now.without.has(String(prefix))) addRoute(this.#dev, route);
    }
  }
}

/** Makes routes of a node's own of the layers that another backend left on other devices than these. */
export function releaseLayers(
  netns: NetNamespace,
  family: IpFamily,
  except: readonly string[],
): void {
  for (const dev of netns.devices) {
    if (!except.includes(dev.name)) new RouteSlot(dev, family).materialise();
  }
}

function addRoute(dev: NetDevice, { prefix, gateway, onlink }: SharedRoute): void {
  const via = gateway === undefined ? {} : { via: gateway };
  try {
    dev.netns.addRoute({ dst: prefix, dev, ...via, onlink });
  } catch (error) {
    // Another route has come into its place, or the way to its gateway is gone.
    if (!(error instanceof KernelError)) throw error;
  }
}

/** Entries of the first argument that the second lacks; worked out once for all nodes that change from one to the other. */
function memoised<L extends object, E>(find: (before: L, now: L) => E[]): (x: L, y: L) => E[] {
  const known = new WeakMap<L, WeakMap<L, E[]>>();
  return (before, now) => {
    if (before === now) return [];
    let to = known.get(before);
    if (to === undefined) {
      to = new WeakMap();
      known.set(before, to);
    }
    let entries = to.get(now);
    if (entries === undefined) {
      entries = find(before, now);
      to.set(now, entries);
    }
    return entries;
  };
}

const missingRoutes = memoised<RouteLayer, SharedRoute>((before, now) =>
  [...before.entries()].map(([, r]) => r).filter((r) => now.get(r.prefix) === undefined),
);

const missingEntries = memoised<ReadonlyMap<unknown, unknown>, [unknown, unknown]>((before, now) =>
  [...before].filter(([key]) => !now.has(key)),
);

/** A table of a kernel's that a map can be a layer of. */
export interface LayeredTable<K, V> {
  readonly layer: ReadonlyMap<K, V> | undefined;
  readonly without: ReadonlySet<K>;
  readonly own: ReadonlyMap<K, unknown>;
  setLayer(layer: ReadonlyMap<K, V> | undefined, without: readonly K[]): void;
  put(key: K, value: V): void;
  delete(key: K): void;
}

/** Permanent neighbours, or tunnel endpoints: what a map says. */
export class MapSlot<K, V> implements LayerSlot<ReadonlyMap<K, V>, K> {
  readonly #table: LayeredTable<K, V>;
  #layer: ReadonlyMap<K, V> | undefined;
  #without = 0;

  constructor(table: LayeredTable<K, V>) {
    this.#table = table;
  }

  get intact(): boolean {
    const { layer, without } = this.#table;
    return layer === this.#layer && without.size === this.#without;
  }

  attach(layer: ReadonlyMap<K, V>, own: readonly K[]): void {
    const table = this.#table;
    const without = own.filter((key) => layer.has(key));
    // Entries of the node's own, learned or left by an earlier run, are replaced.
    for (const key of [...table.own.keys()]) {
      if (layer.has(key) && !own.includes(key)) table.delete(key);
    }
    this.#layer = layer;
    this.#without = without.length;
    table.setLayer(layer, without);
  }

  takeOver(layer: ReadonlyMap<K, V>, own: readonly K[]): void {
    const table = this.#table;
    const left = (table.layer && (missingEntries(table.layer, layer) as [K, V][])) ?? [];
    const without = new Set(table.without);
    this.attach(layer, own);
    for (const [key, value] of left) if (!without.has(key)) table.put(key, value);
  }

  materialise(): void {
    const table = this.#table;
    const { layer } = table;
    const absent = new Set([...table.without, ...table.own.keys()]);
    this.#layer = undefined;
    this.#without = 0;
    if (layer === undefined) return;
    table.setLayer(undefined, []);
    for (const [key, value] of layer) if (!absent.has(key)) table.put(key, value);
  }
}

class DeviceNeighbours implements LayeredTable<IpAddress, Mac> {
  readonly #dev: NetDevice;

  constructor(dev: NetDevice) {
    this.#dev = dev;
  }

  get #table() {
    return this.#dev.netns.neighboursOf(this.#dev);
  }

  get layer(): ReadonlyMap<IpAddress, Mac> | undefined {
    return this.#table.layer;
  }

  get without(): ReadonlySet<IpAddress> {
    return this.#table.withoutFromLayer;
  }

  get own(): ReadonlyMap<IpAddress, unknown> {
    return this.#table.ownEntries;
  }

  setLayer(layer: ReadonlyMap<IpAddress, Mac> | undefined, without: readonly IpAddress[]): void {
    this.#table.setLayer(layer, without);
  }

  put(ip: IpAddress, mac: Mac): void {
    this.#table.replace(ip, mac);
  }

  delete(ip: IpAddress): void {
    this.#table.delete(ip);
  }
}

class TunnelEndpoints implements LayeredTable<Mac, IpAddress> {
  readonly #dev: Vxlan;

  constructor(dev: Vxlan) {
    this.#dev = dev;
  }

  get layer(): ReadonlyMap<Mac, IpAddress> | undefined {
    return this.#dev.fdbLayer;
  }

  get without(): ReadonlySet<Mac> {
    return this.#dev.withoutFromFdbLayer;
  }

  get own(): ReadonlyMap<Mac, unknown> {
    return this.#dev.ownFdbEntries;
  }

  setLayer(layer: ReadonlyMap<Mac, IpAddress> | undefined, without: readonly Mac[]): void {
    this.#dev.setFdbLayer(layer, without);
  }

  put(mac: Mac, remote: IpAddress): void {
    this.#dev.replaceFdb(mac, remote);
  }

  delete(mac: Mac): void {
    this.#dev.deleteFdb(mac);
  }
}

/** The neighbours of a device: `ip neigh … dev DEV nud permanent`. */
export function neighbourSlot(dev: NetDevice): MapSlot<IpAddress, Mac> {
  return new MapSlot(new DeviceNeighbours(dev));
}

/** The tunnel endpoints of a vxlan device: `bridge fdb … dev DEV self permanent`. */
export function fdbSlot(dev: Vxlan): MapSlot<Mac, IpAddress> {
  return new MapSlot(new TunnelEndpoints(dev));
}
