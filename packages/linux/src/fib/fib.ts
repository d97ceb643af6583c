import {
  addressBits,
  IPV4_ANY,
  IPV6_ANY,
  type IpAddress,
  type IpFamily,
  Prefix,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import { type FibRule, type Flow, ruleMatches } from "./fib-rule.ts";
import { FibTable } from "./fib-table.ts";
import { multipathHash } from "./multipath-hash.ts";
import {
  Nexthop,
  Route,
  type RouteScope,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
} from "./route.ts";

/** The rules that a namespace starts with (`fib_default_rules_init`; IPv6 has no `default`). */
const DEFAULT_RULES: Readonly<Record<IpFamily, readonly FibRule[]>> = {
  4: [
    { priority: 0, action: { table: RT_TABLE_LOCAL } },
    { priority: 32766, action: { table: RT_TABLE_MAIN } },
    { priority: 32767, action: { table: RT_TABLE_DEFAULT } },
  ],
  6: [
    { priority: 0, action: { table: RT_TABLE_LOCAL } },
    { priority: 32766, action: { table: RT_TABLE_MAIN } },
  ],
};

/** The forwarding information base of one family in one namespace: tables, and rules to choose them. */
export class Fib {
  readonly family: IpFamily;
  readonly local: FibTable;
  readonly main: FibTable;
  /** All but these two; most namespaces have no more. */
  #others: Map<number, FibTable> | undefined = undefined;
  #rules: readonly FibRule[];
  /** Whether there may be a multipath route with a dead nexthop. */
  #hasDead = false;

  constructor(family: IpFamily) {
    this.family = family;
    this.local = new FibTable(RT_TABLE_LOCAL, family);
    this.main = new FibTable(RT_TABLE_MAIN, family);
    this.#rules = DEFAULT_RULES[family];
  }

  /** By priority. */
  get rules(): readonly FibRule[] {
    return this.#rules;
  }

  get hasCustomRules(): boolean {
    return this.#rules !== DEFAULT_RULES[this.family];
  }

  /** By number. */
  get tables(): FibTable[] {
    if (this.#others === undefined) return [this.main, this.local];
    return [this.main, this.local, ...this.#others.values()].sort((x, y) => x.id - y.id);
  }

  findTable(id: number): FibTable | undefined {
    if (id === RT_TABLE_MAIN) return this.main;
    if (id === RT_TABLE_LOCAL) return this.local;
    return this.#others?.get(id);
  }

  /** The table with this number, made if there is none. */
  table(id: number): FibTable {
    let table = this.findTable(id);
    if (table === undefined) {
      table = new FibTable(id, this.family);
      this.#others ??= new Map();
      this.#others.set(id, table);
    }
    return table;
  }

  /** `ip rule add`: behind the rules of equal priority. @throws KernelError EEXIST */
  addRule(rule: FibRule): void {
    const text = JSON.stringify(rule);
    if (this.#rules.some((r) => JSON.stringify(r) === text)) {
      throw new KernelError("EEXIST", `rule of priority ${rule.priority}`);
    }
    const after = this.#rules.findIndex((r) => r.priority > rule.priority);
    const at = after < 0 ? this.#rules.length : after;
    this.#rules = [...this.#rules.slice(0, at), rule, ...this.#rules.slice(at)];
  }

  /** `ip rule del`: the first rule that fits. @throws KernelError ENOENT */
  deleteRule(fits: (rule: FibRule) => boolean): void {
    const at = this.#rules.findIndex(fits);
    if (at < 0) throw new KernelError("ENOENT", "no such rule");
    this.#rules = [...this.#rules.slice(0, at), ...this.#rules.slice(at + 1)];
  }

  /**
   * The way on for a flow (`fib_lookup`): a nexthop whose route's type may also be a refusal;
   * `undefined` where no table has a route. `minScope` is as in IPv4's gateway check.
   */
  lookup(flow: Flow, minScope: RouteScope = RT_SCOPE_UNIVERSE): Nexthop | undefined {
    if (this.#rules === DEFAULT_RULES[this.family]) {
      const found = this.lookupTable(this.local, flow, minScope);
      if (found !== undefined && found.route.type !== "throw") return found;
      const main = this.lookupTable(this.main, flow, minScope);
      if (main !== undefined && main.route.type !== "throw") return main;
      const last = this.#others?.get(RT_TABLE_DEFAULT);
      return last === undefined ? undefined : this.lookupTable(last, flow, minScope);
    }
    const rules = this.#rules;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i] as FibRule;
      if (!ruleMatches(rule, flow)) continue;
      const action = rule.action;
      if ("goto" in action) {
        const target = rules.findIndex((r, at) => at > i && r.priority >= action.goto);
        if (target >= 0) i = target - 1;
        continue;
      }
      if ("type" in action) {
        if (action.type === "nop") continue;
        // -ENETUNREACH, as where there is no route (fib4_rule_action, __fib6_rule_action).
        if (action.type === "unreachable") return undefined;
        return refusal(this.family, action.type);
      }
      const table = this.findTable(action.table);
      if (table === undefined) continue;
      const found = this.lookupTable(table, flow, minScope);
      if (found === undefined || found.route.type === "throw") continue;
      if (suppresses(rule, found)) continue;
      return found;
    }
    return undefined;
  }

  /** As {@link lookup}, in one table: tries shorter prefixes where a longer one has no use. */
  lookupTable(table: FibTable, flow: Flow, minScope: RouteScope = 0): Nexthop | undefined {
    let below = addressBits(this.family) + 1;
    for (;;) {
      const first = table.lookupShorter(flow.dst, below);
      if (first === undefined) return undefined;
      for (let route: Route | undefined = first; route !== undefined; route = route.next) {
        if (route.tos !== 0 && route.tos !== flow.tos) continue;
        if (this.family === 4 && route.scope < minScope) continue;
        const nexthop = selectNexthop(route, flow);
        if (nexthop === undefined) continue;
        return flow.oifPreferred === true ? preferDevice(nexthop, flow) : nexthop;
      }
      below = first.prefix.length;
    }
  }

  /** The type of an address as the local table has it, `unicast` where it has nothing (`inet_addr_type`). */
  addressType(address: IpAddress, dev?: NetDevice): Route["type"] {
    const below = addressBits(this.family) + 1;
    const route = this.local.lookupShorter(address, below);
    if (route === undefined) return "unicast";
    if (dev !== undefined && route.nexthop.dev !== dev) return "unicast";
    return route.type;
  }

  /** Removes every route that `fits` says, from all tables. */
  removeRoutes(fits: (route: Route) => boolean): number {
    let count = 0;
    for (const table of this.tables) count += table.removeAll(fits);
    return count;
  }

  /** Takes the shared layers that leave by `dev` out of all tables. */
  removeLayers(dev: NetDevice): void {
    for (const table of this.tables) table.removeLayers(dev);
  }

  /** A device went down: its nexthops are dead, and routes without another one are gone (`fib_sync_down_dev`). */
  deviceDown(dev: NetDevice): void {
    this.removeLayers(dev);
    for (const table of this.tables) {
      table.removeAll((route) => {
        let hit = false;
        for (const nexthop of route.nexthops) {
          // IPv4 routes to this machine's own addresses stay.
          if (nexthop.dev === dev && nexthop.scope !== RT_SCOPE_NOWHERE) {
            nexthop.dead = true;
            hit = true;
          }
        }
        if (hit && route.alive) this.#hasDead = true;
        return hit && !route.alive;
      });
    }
  }

  /** A device came up: nexthops of multipath routes live again (`fib_sync_up`). */
  deviceUp(dev: NetDevice): void {
    if (!this.#hasDead) return;
    for (const route of this.routes()) {
      for (const nexthop of route.nexthops) if (nexthop.dev === dev) nexthop.dead = false;
    }
  }

  /** Every route of every table. */
  *routes(): Iterable<Route> {
    for (const table of this.tables) yield* table.routes();
  }

  routesTo(prefix: Prefix, table: number = RT_TABLE_MAIN): Route[] {
    return this.findTable(table)?.routesTo(prefix) ?? [];
  }
}

/** Whether a rule does not want what it found. A route that refuses stands: it is no success (`fib_rules_lookup`). */
function suppresses({ suppressPrefixLength }: FibRule, { route }: Nexthop): boolean {
  if (suppressPrefixLength === undefined || route.prefix.length > suppressPrefixLength)
    return false;
  return !REFUSING.has(route.type);
}

const REFUSING: ReadonlySet<Route["type"]> = new Set(["blackhole", "unreachable", "prohibit"]);

/** A usable nexthop of a route: by hash where there are several (`fib_select_multipath`). */
function selectNexthop(route: Route, flow: Flow): Nexthop | undefined {
  if (!route.isMultipath) return usable(route.nexthop, flow) ? route.nexthop : undefined;
  const { nexthops } = route;
  let total = 0;
  for (const n of nexthops) if (usable(n, flow)) total += n.weight;
  if (total === 0) return undefined;
  const { dev } = route.nexthop;
  let at = dev === undefined ? 0 : multipathHash(dev.netns, flow) % total;
  for (const n of nexthops) {
    if (!usable(n, flow)) continue;
    if (at < n.weight) return n;
    at -= n.weight;
  }
  return undefined;
}

/** Of the routes that are as good as the first one, that which leaves by the device (`rt6_score_route`). */
function preferDevice(first: Nexthop, flow: Flow): Nexthop {
  const { metric } = first.route;
  for (let route = first.route as Route | undefined; route?.metric === metric; route = route.next) {
    const fitting = route.nexthops.find((n) => n.dev === flow.oif && usable(n, flow));
    if (fitting !== undefined) return fitting;
  }
  return first;
}

/** `fib_lookup_good_nhc`. */
function usable(nexthop: Nexthop, flow: Flow): boolean {
  if (nexthop.dead) return false;
  if (nexthop.dev === undefined) return true;
  if (
    !nexthop.dev.carrier &&
    nexthop.route.table !== RT_TABLE_LOCAL &&
    nexthop.dev.conf4.ignore_routes_with_linkdown !== 0
  ) {
    return false;
  }
  return flow.oif === undefined || flow.oif === nexthop.dev || flow.oifPreferred === true;
}

/** A rule that refuses acts like a route that does. */
function refusal(family: IpFamily, type: "blackhole" | "prohibit"): Nexthop {
  const nexthop = new Nexthop(undefined, undefined, false, 1, RT_SCOPE_UNIVERSE);
  new Route({
    prefix: new Prefix(family === 4 ? IPV4_ANY : IPV6_ANY, 0),
    table: 0,
    type,
    scope: RT_SCOPE_UNIVERSE,
    protocol: "kernel",
    metric: 0,
    tos: 0,
    prefsrc: undefined,
    mtu: 0,
    advmss: 0,
    nexthops: [nexthop],
    origin: undefined,
  });
  return nexthop;
}
