import type { Clock, Timer } from "@cnilab/core";
import {
  KernelError,
  type NetNamespace,
  type NexthopSpec,
  type Route,
  type RouteSpec,
} from "@cnilab/linux";
import { compareIp, type Prefix } from "@cnilab/net";
import { isMergable } from "./best-path.ts";
import type { KernelConfig } from "./config.ts";
import { filterView } from "./export.ts";
import { runFilter } from "./filter.ts";
import {
  DEFAULT_PREFERENCE,
  type Destination,
  type Hop,
  hopsOf,
  type RouteSender,
} from "./route.ts";
import type { RouteTable, TableEntry } from "./table.ts";

/** How many next hops a merged route has at most (`merge paths` … `limit`). */
const MERGE_LIMIT = 16;

/** What the kernel is to have for one prefix. */
interface KernelRoute {
  readonly type: "unicast" | "blackhole" | "unreachable";
  readonly hops: readonly Hop[];
  readonly onlink: boolean;
  readonly metric: number | undefined;
}

/** `protocol kernel`: the best routes go to the kernel's main table, and what others put there is learnt. */
export class KernelProtocol implements RouteSender {
  readonly name = "kernel1";
  readonly source = "inherit";
  readonly #table: RouteTable;
  readonly #netns: NetNamespace;
  readonly #clock: Clock;
  readonly #pathId: number;
  #config: KernelConfig | undefined;
  #stopWatching: (() => void) | undefined;
  #scanTimer: Timer | undefined;
  #changed: () => void = () => {};
  readonly #installed = new Map<TableEntry, KernelRoute>();
  /** What the kernel refused; tried again when its routes have changed. */
  readonly #refused = new Set<TableEntry>();
  #learnt = new Map<string, Route>();
  #writing = false;
  #recovering = true;

  constructor(table: RouteTable, netns: NetNamespace, clock: Clock, pathId: number) {
    this.#table = table;
    this.#netns = netns;
    this.#clock = clock;
    this.#pathId = pathId;
  }

  /** @param changed told when the kernel's routes are others, whoever changed them */
  start(config: KernelConfig | undefined, changed: () => void): void {
    this.#config = config;
    this.#changed = changed;
    this.#stopWatching = this.#netns.fib(this.#table.family).main.onChange(() => this.#scanSoon());
    this.#scan();
  }

  configure(config: KernelConfig | undefined): void {
    this.#config = config;
    if (config === undefined) this.#forgetLearnt();
    else this.#scan();
  }

  /** The routes stay (`persist`). */
  stop(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.#scanTimer?.cancel();
    this.#scanTimer = undefined;
  }

  /** What an earlier run left, and nobody wants any more, goes when the first routes are there. */
  recovered(): void {
    if (this.#config === undefined || !this.#recovering) return;
    for (const entry of this.#table.entries()) this.#exportOne(entry);
    this.#recovering = false;
    for (const route of [...this.#ownLeft()]) this.#delete(route.prefix, route);
  }

  /** Brings the kernel in step with these prefixes. */
  export(entries: Iterable<TableEntry>): void {
    if (this.#config === undefined) return;
    if (this.#recovering) this.recovered();
    for (const entry of entries) this.#exportOne(entry);
  }

  #exportOne(entry: TableEntry): void {
    const wanted = this.#wanted(entry);
    const before = this.#installed.get(entry);
    if (before !== undefined && wanted !== undefined && sameRoute(before, wanted)) return;
    if (before !== undefined) {
      this.#installed.delete(entry);
      this.#remove(entry.prefix, before);
    }
    this.#refused.delete(entry);
    if (wanted === undefined) return;
    if (this.#add(entry.prefix, wanted)) this.#installed.set(entry, wanted);
    else this.#refused.add(entry);
  }

  /** The best route, and those that are as good (`rt_export_merged`). */
  #wanted({ routes }: TableEntry): KernelRoute | undefined {
    const [best] = routes;
    const { source } = best?.sender ?? {};
    // The kernel has its own routes, and those to networks on its links (`krt_import_control`).
    if (best === undefined || source === "inherit" || source === "device") return undefined;
    const view = filterView(best, best.attributes);
    const config = this.#config as KernelConfig;
    if (!runFilter(config.exportFilter, view)) return undefined;
    const metric = view.krtMetric;
    if (best.hostEntry === undefined) {
      return { ...asKernelRoute(best.destination), onlink: false, metric };
    }
    if (view.krtTunnel !== undefined) {
      const dev = this.#netns.findDevice(view.krtTunnel);
      if (dev === undefined || view.nextHop === undefined) return undefined;
      return { type: "unicast", hops: [{ dev, gateway: view.nextHop }], onlink: true, metric };
    }
    if (best.hostEntry.hops === undefined) {
      const type = best.hostEntry.blackhole ? "blackhole" : "unreachable";
      return { type, hops: [], onlink: false, metric };
    }
    const hops = [...best.hostEntry.hops];
    for (const other of config.mergePaths ? routes.slice(1) : []) {
      if (hops.length >= MERGE_LIMIT) break;
      if (!isMergable(best, other)) continue;
      if (!runFilter(config.exportFilter, filterView(other, other.attributes))) continue;
      for (const hop of hopsOf(other) ?? []) {
        if (!hops.some((h) => sameHop(h, hop))) hops.push(hop);
      }
    }
    return { type: "unicast", hops: hops.sort(compareHops), onlink: false, metric };
  }

  #add(prefix: Prefix, route: KernelRoute): boolean {
    const spec = specOf(prefix, route);
    this.#writing = true;
    try {
      const left = [...this.#netns.fib(prefix.family).main.routesTo(prefix)].find(
        (r) => r.protocol === "bird" && r.metric === (route.metric ?? defaultMetric(prefix)),
      );
      // What an earlier run left is replaced, so that there is no moment without.
      this.#netns.addRoute(spec, left === undefined ? "add" : "replace");
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return error.errno === "EEXIST" && this.#has(prefix, route);
    } finally {
      this.#writing = false;
    }
  }

  #has(prefix: Prefix, { hops, type }: KernelRoute): boolean {
    const there = this.#netns.fib(prefix.family).main.routesTo(prefix);
    return there.some(
      (r) =>
        r.protocol === "bird" &&
        r.type === type &&
        r.nexthops.length === Math.max(1, hops.length) &&
        hops.every((h) => r.nexthops.some((n) => n.dev === h.dev && n.gateway === h.gateway)),
    );
  }

  #remove(prefix: Prefix, { type, metric }: KernelRoute): void {
    const table = this.#netns.fib(prefix.family).main;
    const wanted = metric ?? defaultMetric(prefix);
    const route = table
      .routesTo(prefix)
      .find((r) => r.protocol === "bird" && r.metric === wanted && r.type === type);
    if (route !== undefined) this.#delete(prefix, route);
  }

  #delete(prefix: Prefix, route: Route): void {
    this.#writing = true;
    try {
      this.#netns.fib(prefix.family).main.remove(prefix, (r) => r === route);
      this.#netns.network.touch();
    } finally {
      this.#writing = false;
    }
  }

  /** Routes of an earlier run that are none of this one's. */
  *#ownLeft(): Iterable<Route> {
    for (const route of this.#netns.fib(this.#table.family).main.routes()) {
      if (route.protocol !== "bird") continue;
      const entry = this.#table.get(route.prefix);
      if (entry === undefined || !this.#installed.has(entry)) yield route;
    }
  }

  /** As netlink tells of changes; those of one moment together. */
  #scanSoon(): void {
    if (this.#writing) return;
    this.#scanTimer ??= this.#clock.schedule(0, () => {
      this.#scanTimer = undefined;
      this.#scan();
      for (const [entry, route] of this.#installed) {
        if (!this.#has(entry.prefix, route)) {
          // Somebody took it away, or its device went down: the next scan puts it back if it can be.
          this.#installed.delete(entry);
          this.#refused.add(entry);
        }
      }
      for (const entry of [...this.#refused]) this.#exportOne(entry);
      this.#changed();
    });
  }

  /** Learns what others have put into the main table (`learn`; `krt_learn_scan`). */
  #scan(): void {
    if (this.#config === undefined) return;
    const best = new Map<string, Route>();
    for (const route of this.#netns.fib(this.#table.family).main.ownRoutes()) {
      if (!isAlien(route)) continue;
      const key = String(route.prefix);
      const known = best.get(key);
      if (known === undefined || route.metric < known.metric) best.set(key, route);
    }
    for (const [key, { prefix }] of this.#learnt) {
      if (!best.has(key)) this.#table.withdraw(prefix, this, this.#pathId);
    }
    for (const [key, route] of best) if (this.#learnt.get(key) !== route) this.#learn(route);
    this.#learnt = best;
  }

  #learn(route: Route): void {
    this.#table.update({
      prefix: route.prefix,
      sender: this,
      preference: DEFAULT_PREFERENCE.inherit,
      pathId: this.#pathId,
      destination: destinationOf(route),
      hostEntry: undefined,
      attributes: undefined,
      krtMetric: route.metric === 0 ? undefined : route.metric,
      stale: false,
    });
  }

  #forgetLearnt(): void {
    for (const { prefix } of this.#learnt.values()) {
      this.#table.withdraw(prefix, this, this.#pathId);
    }
    this.#learnt = new Map();
  }
}

/** Neither the kernel's own nor BIRD's, and of a kind that BIRD knows (sysdep/linux/netlink.c `nl_parse_route`). */
function isAlien({ protocol, type, tos, prefix }: Route): boolean {
  if (protocol === "kernel" || protocol === "bird" || protocol === 1 || tos !== 0) return false;
  const { address } = prefix;
  const isLinkLocal =
    typeof address === "number" ? address >>> 24 === 127 : address.a >>> 22 === 0x3fa;
  if (isLinkLocal) return false;
  return (
    type === "unicast" || type === "blackhole" || type === "unreachable" || type === "prohibit"
  );
}

function destinationOf({ type, nexthops }: Route): Destination {
  if (type === "blackhole") return { kind: "blackhole" };
  if (type !== "unicast") return { kind: "unreachable" };
  const hops = nexthops.flatMap(({ dev, gateway }) =>
    dev === undefined ? [] : [{ dev, gateway }],
  );
  return { kind: "hops", hops };
}

function asKernelRoute(destination: Destination | undefined): Pick<KernelRoute, "type" | "hops"> {
  if (destination?.kind === "hops") return { type: "unicast", hops: destination.hops };
  return { type: destination?.kind ?? "unreachable", hops: [] };
}

function specOf(dst: Prefix, { type, hops, onlink, metric }: KernelRoute): RouteSpec {
  const base = { dst, type, protocol: "bird" as const, ...(metric !== undefined && { metric }) };
  const [first] = hops;
  if (first === undefined) return base;
  const nexthops = hops.map(
    ({ dev, gateway }): NexthopSpec => ({
      dev,
      ...(gateway !== undefined && { via: gateway }),
      ...(onlink && { onlink }),
    }),
  );
  return nexthops.length === 1 ? { ...base, ...nexthops[0] } : { ...base, nexthops };
}

/** Metric of IPv6 routes given without one (`IP6_RT_PRIO_USER`). */
function defaultMetric(prefix: Prefix): number {
  return prefix.family === 4 ? 0 : 1024;
}

function sameRoute(x: KernelRoute, y: KernelRoute): boolean {
  return (
    x.type === y.type &&
    x.metric === y.metric &&
    x.onlink === y.onlink &&
    x.hops.length === y.hops.length &&
    x.hops.every((hop, i) => sameHop(hop, y.hops[i] as Hop))
  );
}

function sameHop(x: Hop, y: Hop): boolean {
  return x.dev === y.dev && x.gateway === y.gateway;
}

/** The order in which BIRD keeps next hops (`mpnh_compare_node`): by address, then by device. */
function compareHops(x: Hop, y: Hop): number {
  const byAddress =
    x.gateway === undefined || y.gateway === undefined ? 0 : compareIp(x.gateway, y.gateway);
  return byAddress || x.dev.ifindex - y.dev.ifindex;
}
