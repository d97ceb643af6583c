import {
  type NetDevice,
  type NetNamespace,
  Nexthop,
  type RouteFields,
  type RouteProtocol,
  type RouteScope,
  type RouteType,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
} from "@cnilab/linux";
import type { IpAddress, IpFamily } from "@cnilab/net";
import type { Fields } from "./fields.ts";
import { PROTOCOLS, ROUTE_TYPES, SCOPES, TABLES } from "./kernel-names.ts";
import { kernelSays } from "./kernel-says.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

const TYPES: Readonly<Record<number, RouteType>> = {
  1: "unicast",
  2: "local",
  3: "broadcast",
  4: "anycast",
  5: "multicast",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
  9: "throw",
};

const PROTOCOL_NAMES: Readonly<Record<number, RouteProtocol>> = {
  2: "kernel",
  3: "boot",
  4: "static",
  9: "ra",
  12: "bird",
  16: "dhcp",
};

/** Metrics of TCP's that the model's TCP has no use for. */
const MODELLED_METRICS = ["mtu", "advmss"];

export function routesFile(family: IpFamily): string {
  return `routes${family}.json`;
}

/**
 * Puts the saved routes of all tables in place of those that came with the addresses: what a broken
 * machine lacks stays lacking. @throws InputError
 */
export function addRoutes(
  netns: NetNamespace,
  saved: SavedNamespace,
  family: IpFamily,
  unmodelled: Unmodelled,
): void {
  const { files } = saved;
  if (!files.has(routesFile(family))) return;
  const fib = netns.fib(family);
  const read = files
    .objects(routesFile(family))
    .map((fields) => ({ fields, route: readRoute(netns, saved, fields, family, unmodelled) }));
  fib.removeRoutes(() => true);
  for (const { fields, route } of read) {
    if (route === undefined) continue;
    kernelSays(fields.file, fields.path, () => {
      // Two that differ in what is not modelled alone are one.
      const table = fib.table(route.table);
      if (!table.has(route)) table.insert(route, "append");
    });
  }
  netns.network.touch();
}

function readRoute(
  netns: NetNamespace,
  saved: SavedNamespace,
  fields: Fields,
  family: IpFamily,
  unmodelled: Unmodelled,
): RouteFields | undefined {
  const type = TYPES[fields.named("type", ROUTE_TYPES) ?? 1];
  const note = (what: string): void => unmodelled.note(saved.node, what, fields.string("dst"));
  if (type === undefined) {
    note(`routes of type ${fields.stringOrNumber("type")}, left out`);
    return undefined;
  }
  if (fields.has("encap")) {
    note("routes with encapsulation, left out");
    return undefined;
  }
  const from = fields.stringOr("from", fields.stringOr("src", "all"));
  if (from !== "all" && from !== "default") {
    note("routes for some sources only, left out");
    return undefined;
  }
  const metrics = fields.objects("metrics");
  for (const name of metrics.flatMap((m) => m.names)) {
    if (!MODELLED_METRICS.includes(name)) note(`route metric ${name}`);
  }
  const metric = (name: string): number => metrics.find((m) => m.has(name))?.numberOr(name, 0) ?? 0;
  const protocol = fields.named("protocol", PROTOCOLS) ?? 3;
  return {
    prefix: fields.prefix("dst", family),
    table: fields.named("table", TABLES) ?? 254,
    type,
    scope: (fields.named("scope", SCOPES) ?? RT_SCOPE_UNIVERSE) as RouteScope,
    protocol: PROTOCOL_NAMES[protocol] ?? protocol,
    metric: fields.numberOr("metric", 0),
    tos: fields.numberOr("tos", 0),
    prefsrc: fields.addressOr("prefsrc"),
    mtu: metric("mtu"),
    advmss: metric("advmss"),
    nexthops: readNexthops(netns, fields, family, type),
    origin: undefined,
  };
}

function readNexthops(
  netns: NetNamespace,
  fields: Fields,
  family: IpFamily,
  type: RouteType,
): Nexthop[] {
  if (type === "blackhole" || type === "unreachable" || type === "prohibit" || type === "throw") {
    return [new Nexthop(undefined, undefined, false, 1, RT_SCOPE_UNIVERSE)];
  }
  const several = fields.objects("nexthops");
  const ways = several.length === 0 ? [fields] : several;
  return ways.map((way) => {
    const gateway = gatewayOf(way, family);
    const flags = way.strings("flags");
    const scope = nexthopScope(type, family, gateway);
    const weight = way.numberOr("weight", 1);
    if (weight < 1 || weight > 256) throw way.error("weight", "must be from 1 to 256");
    const dev = deviceOf(netns, way);
    const nexthop = new Nexthop(dev, gateway, flags.includes("onlink"), weight, scope);
    nexthop.dead = flags.includes("dead");
    return nexthop;
  });
}

function deviceOf(netns: NetNamespace, way: Fields): NetDevice {
  const name = way.string("dev");
  const dev = netns.findDevice(name);
  if (dev === undefined) throw way.error("dev", `"${name}" is no device of links.json`);
  return dev;
}

function gatewayOf(way: Fields, family: IpFamily): IpAddress | undefined {
  const via = way.object("via");
  if (via !== undefined) return via.address("host");
  return way.has("gateway") ? way.addressOf("gateway", family) : undefined;
}

/** Which the kernel gives a nexthop and tells nobody (`fib_check_nh`, `fib_create_info`). */
function nexthopScope(
  type: RouteType,
  family: IpFamily,
  gateway: IpAddress | undefined,
): RouteScope {
  if (gateway !== undefined) return RT_SCOPE_LINK;
  if (family === 6) return RT_SCOPE_UNIVERSE;
  return type === "local" ? RT_SCOPE_NOWHERE : RT_SCOPE_HOST;
}

/** Gateways of default routes that lead out of a machine's own namespace, with the device. */
export function defaultGateways(
  saved: SavedNamespace,
): { readonly gateway: IpAddress; readonly dev: string }[] {
  const found: { gateway: IpAddress; dev: string }[] = [];
  for (const family of [4, 6] as const) {
    for (const fields of saved.files.objects(routesFile(family))) {
      if (fields.stringOr("dst", "") !== "default") continue;
      const several = fields.objects("nexthops");
      for (const way of several.length === 0 ? [fields] : several) {
        const gateway = gatewayOf(way, family);
        if (gateway !== undefined) found.push({ gateway, dev: way.string("dev") });
      }
    }
  }
  return found;
}
