import type { Timer } from "@cnilab/core";
import { type NetDevice, RouteLayer, type RouteSpec, type SharedRoute } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { networkOf } from "../conf/net-conf.ts";
import { isOwn, type Lease, type LeaseSide, sideOf } from "../lease/lease.ts";
import type { LeaseEvents, LeaseStep, LeaseTable } from "../lease/lease-table.ts";
import type { BackendContext } from "./backend.ts";
import { attempt } from "./device-address.ts";
import { RouteSlot, releaseLayers } from "./shared-layers.ts";
import { UnderlayRoutes } from "./underlay-routes.ts";

/** How often missing routes are put back (pkg/backend/route_network.go routeCheckRetries). */
const ROUTE_CHECK_MS = 10_000;

const EMPTY = new RouteLayer([]);

/** The route to one node. */
export interface NodeRoute {
  readonly dev: NetDevice;
  readonly onlink: boolean;
}

/** What a backend that consists of routes decides. */
export interface RouteBackendOptions {
  readonly backendType: string;
  readonly families: readonly IpFamily[];
  /** The way to a node's public address, its gateway. */
  readonly routeTo: (side: LeaseSide, underlay: UnderlayRoutes) => NodeRoute;
}

/** A route a node, and a look every ten seconds whether they are all there (host-gw, ipip). */
export class NodeRoutes {
  readonly #context: BackendContext;
  readonly #options: RouteBackendOptions;
  readonly #sides: RouteSide[] = [];
  #own: Lease | undefined;
  #table: LeaseTable | undefined;
  #timer: Timer | undefined;

  constructor(context: BackendContext, options: RouteBackendOptions) {
    this.#context = context;
    this.#options = options;
    for (const family of options.families) {
      this.#sides.push(new RouteSide(context, options, family));
    }
  }

  run(table: LeaseTable, own: Lease): void {
    this.#own = own;
    this.#table = table;
    for (const side of this.#sides) side.attach(table, own, true);
    this.#checkLater();
  }

  update(table: LeaseTable, events: LeaseEvents): void {
    this.#table = table;
    for (const side of this.#sides) {
      if (side.intact) {
        side.attach(table, this.#own as Lease, false);
        continue;
      }
      side.materialise();
      for (const lease of this.#ours(events.removed)) side.remove(lease);
      for (const lease of this.#ours(events.added)) side.add(lease);
    }
  }

  /** Leases of this backend's type, but for the node's own. */
  *#ours(leases: Iterable<Lease>): Iterable<Lease> {
    for (const lease of leases) {
      const { backendType } = lease.attributes;
      if (isOwn(lease, this.#own)) continue;
      if (backendType === this.#options.backendType) yield lease;
      else
        this.#context.log(`Ignoring non-${this.#options.backendType} subnet: type=${backendType}`);
    }
  }

  #checkLater(): void {
    const check = () => {
      for (const side of this.#sides) {
        if (side.intact) continue;
        side.materialise();
        for (const lease of this.#ours(this.#table?.leases.values() ?? [])) side.restore(lease);
      }
      this.#checkLater();
    };
    this.#timer = this.#context.clock.schedule(ROUTE_CHECK_MS, check, { background: true });
  }

  stop(): void {
    this.#timer?.cancel();
  }
}

interface SubnetRoute {
  readonly dev: NetDevice;
  readonly route: SharedRoute;
}

/** The routes of one family. */
class RouteSide {
  readonly #context: BackendContext;
  readonly #options: RouteBackendOptions;
  readonly #family: IpFamily;
  readonly #underlay: UnderlayRoutes;
  readonly #slots = new Map<string, RouteSlot>();
  #signature: string | undefined;
  #shared = false;

  constructor(context: BackendContext, options: RouteBackendOptions, family: IpFamily) {
    this.#context = context;
    this.#options = options;
    this.#family = family;
    const network = networkOf(context.conf, family);
    if (network === undefined) throw new Error(`IPv${family} is not enabled`);
    this.#underlay = new UnderlayRoutes(context.netns, family, network);
  }

  get intact(): boolean {
    if (!this.#shared || this.#underlay.signature() !== this.#signature) return false;
    for (const slot of this.#slots.values()) if (!slot.intact) return false;
    return true;
  }

  attach(table: LeaseTable, own: Lease, start: boolean): void {
    const { netns } = this.#context;
    const layers = this.#layersOf(table);
    const subnet = this.#family === 4 ? own.subnet : own.ipv6Subnet;
    const without = subnet === undefined ? [] : [subnet];
    for (const name of layers.keys()) {
      if (!this.#slots.has(name)) {
        this.#slots.set(name, new RouteSlot(netns.device(name), this.#family));
      }
    }
    if (start) releaseLayers(netns, this.#family, [...this.#slots.keys()]);
    for (const [name, slot] of this.#slots) {
      const layer = layers.get(name) ?? EMPTY;
      if (start) slot.takeOver(layer, without);
      else slot.attach(layer, without);
    }
    this.#shared = this.#signature !== undefined;
    if (!this.#shared) for (const slot of this.#slots.values()) slot.materialise();
  }

  #layersOf(table: LeaseTable): ReadonlyMap<string, RouteLayer> {
    this.#signature = this.#underlay.signature();
    const render = () => this.#render(table);
    if (this.#signature === undefined) return render();
    const key = `${this.#options.backendType} ${this.#family} ${this.#signature}`;
    return table.derive(key, render);
  }

  /** The routes that the daemon comes to, by device. */
  #render(table: LeaseTable): ReadonlyMap<string, RouteLayer> {
    const byDevice = new Map<string, SharedRoute[]>();
    for (const steps of table.steps()) {
      let way: SubnetRoute | undefined;
      for (const step of steps) way = this.#step(way, step);
      if (way === undefined) continue;
      const there = byDevice.get(way.dev.name);
      if (there === undefined) byDevice.set(way.dev.name, [way.route]);
      else there.push(way.route);
    }
    return new Map([...byDevice].map(([name, routes]) => [name, new RouteLayer(routes)]));
  }

  /** The route to a subnet after one event: those of other backends are passed over. */
  #step(before: SubnetRoute | undefined, { what, lease }: LeaseStep): SubnetRoute | undefined {
    const side = sideOf(lease, this.#family);
    if (side === undefined || lease.attributes.backendType !== this.#options.backendType)
      return before;
    const { dev, onlink } = this.#options.routeTo(side, this.#underlay);
    const same = before?.dev === dev && before.route.gateway === side.publicIp;
    if (what === "removed") return same ? undefined : before;
    if (same) return before;
    // The kernel does not take a gateway that is not on the link; the old route is gone all the same.
    if (!onlink && !this.#underlay.isGateway(side.publicIp, dev)) return undefined;
    return { dev, route: { prefix: side.subnet, gateway: side.publicIp, onlink } };
  }

  materialise(): void {
    if (!this.#shared) return;
    this.#shared = false;
    for (const slot of this.#slots.values()) slot.materialise();
    this.#slots.clear();
  }

  /** Replaces another first route to the subnet; one of the same way stays (routeAdd). */
  add(lease: Lease): void {
    const spec = this.#specOf(lease);
    if (spec === undefined) return;
    const { netns } = this.#context;
    const first = netns.fib(this.#family).routesTo(spec.dst)[0];
    if (first !== undefined && !isSame(first.nexthops[0], spec)) {
      this.#logged(`deleting route to ${spec.dst}`, () =>
        netns.deleteRoute({ dst: spec.dst, type: first.type }),
      );
    }
    this.restore(lease);
  }

  /** Adds the route unless it is there. */
  restore(lease: Lease): void {
    const spec = this.#specOf(lease);
    if (spec === undefined) return;
    const { netns } = this.#context;
    const there = netns.fib(this.#family).routesTo(spec.dst);
    if (there.some((route) => isSame(route.nexthops[0], spec))) return;
    this.#logged(`Error adding route to ${spec.dst}`, () => netns.addRoute(spec));
  }

  remove(lease: Lease): void {
    const spec = this.#specOf(lease);
    if (spec === undefined) return;
    const { dst, via, dev } = spec;
    this.#logged(`Error deleting route to ${dst}`, () =>
      this.#context.netns.deleteRoute({ dst, ...(via && { via }), ...(dev && { dev }) }),
    );
  }

  #specOf(lease: Lease): RouteSpec | undefined {
    const side = sideOf(lease, this.#family);
    if (side === undefined) return undefined;
    const { dev, onlink } = this.#options.routeTo(side, this.#underlay);
    return { dst: side.subnet, via: side.publicIp, dev, onlink };
  }

  #logged(what: string, call: () => unknown): void {
    const error = attempt(call);
    if (error !== undefined) this.#context.log(`${what}: ${error.message}`);
  }
}

/** routeEqual: gateway and device. */
function isSame(
  nexthop: { readonly dev: NetDevice | undefined; readonly gateway: unknown } | undefined,
  spec: RouteSpec,
): boolean {
  return nexthop?.dev === spec.dev && nexthop?.gateway === spec.via;
}
