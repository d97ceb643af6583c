import {
  type NetNamespace,
  type Nexthop,
  type Route,
  type RouteProtocol,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
} from "@cnilab/linux";
import { formatIp, type IpFamily } from "@cnilab/net";
import type { JsonObject, JsonValue } from "../json.ts";
import { scopeName } from "./addrs.ts";

export interface RouteOptions {
  /** `ip route show` (4, the default), `ip -6 route show` (6); `all` shows 4 and then 6. */
  readonly family?: IpFamily | "all";
  /** `table main` (the default), one by number, or `table all`, which shows both families. */
  readonly table?: number | "all";
}

/** `ip [-6] route show [table …]` (iproute2 6.1), in the kernel's order. */
export function routesText(netns: NetNamespace, options: RouteOptions = {}): string {
  const showTable = options.table === "all";
  return listedRoutes(netns, options)
    .map((route) => `${routeText(route, showTable)}\n`)
    .join("");
}

/** `ip -j [-6] route show [table …]`. */
export function routesJson(netns: NetNamespace, options: RouteOptions = {}): JsonObject[] {
  return listedRoutes(netns, options).map((r) => routeJson(r, options.table === "all"));
}

function listedRoutes(netns: NetNamespace, { family, table }: RouteOptions): Route[] {
  const wanted = family ?? (table === "all" ? "all" : 4);
  const families: IpFamily[] = wanted === "all" ? [4, 6] : [wanted];
  return families.flatMap((f) => {
    const fib = netns.fib(f);
    const tables = table === "all" ? fib.tables : [fib.findTable(table ?? RT_TABLE_MAIN)];
    return (
      tables
        .filter((t) => t !== undefined)
        // The kernel keeps tables in 256 buckets by number.
        .sort((x, y) => (x.id & 255) - (y.id & 255))
        .flatMap((t) => (f === 4 ? [...t.routes()] : [...t.routes()].sort(innerFirst)))
    );
  });
}

/** IPv6 tables are dumped children first (`fib6_walk_continue`): a prefix stands behind what it holds. */
function innerFirst(x: Route, y: Route): number {
  if (x.prefix.equals(y.prefix)) return x.metric - y.metric;
  if (x.prefix.covers(y.prefix)) return 1;
  if (y.prefix.covers(x.prefix)) return -1;
  const [a, b] = [formatSortable(x), formatSortable(y)];
  return a < b ? -1 : a > b ? 1 : 0;
}

function formatSortable({ prefix: { address } }: Route): string {
  if (typeof address === "number") return address.toString(16).padStart(8, "0");
  return [address.a, address.b, address.c, address.d]
    .map((word) => word.toString(16).padStart(8, "0"))
    .join("");
}

/** One route as `ip route` prints it, with all lines of a multipath route and no newline at the end. */
export function routeText(route: Route, showTable = false): string {
  const several = route.nexthops.length > 1;
  const first = several ? undefined : route.nexthops[0];
  const words: string[] = [];
  if (route.type !== "unicast") words.push(route.type);
  words.push(destination(route));
  if (route.tos !== 0) words.push(`tos 0x${route.tos.toString(16)}`);
  if (first !== undefined) words.push(...wayWords(route, first));
  if (showTable && route.table !== RT_TABLE_MAIN) words.push(`table ${tableName(route.table)}`);
  if (route.protocol !== "boot") words.push(`proto ${protocolName(route.protocol)}`);
  if (route.prefix.family === 4 && route.scope !== RT_SCOPE_UNIVERSE) {
    words.push(`scope ${scopeName(route.scope)}`);
  }
  if (route.prefsrc !== undefined) words.push(`src ${formatIp(route.prefsrc)}`);
  if (route.prefix.family === 6 || route.metric !== 0) words.push(`metric ${route.metric}`);
  if (first !== undefined) words.push(...nexthopFlags(first));
  if (route.mtu !== 0) words.push(`mtu ${route.mtu}`);
  if (route.advmss !== 0) words.push(`advmss ${route.advmss}`);
  let text = `${words.join(" ")} `;
  if (several) {
    for (const nexthop of route.nexthops) {
      const flags = nexthopFlags(nexthop).map((f) => `${f} `);
      const way = wayWords(route, nexthop).join(" ");
      text += `\n\tnexthop ${way} weight ${nexthop.weight} ${flags.join("")}`;
    }
  }
  return route.prefix.family === 6 ? `${text}pref medium` : text;
}

function wayWords(route: Route, nexthop: Nexthop): string[] {
  const words: string[] = [];
  if (nexthop.gateway !== undefined) {
    const other = typeof nexthop.gateway !== "number" && route.prefix.family === 4;
    words.push(`via ${other ? "inet6 " : ""}${formatIp(nexthop.gateway)}`);
  }
  const dev = deviceName(route, nexthop);
  if (dev !== undefined) words.push(`dev ${dev}`);
  return words;
}

function routeJson(route: Route, showTable: boolean): JsonObject {
  const several = route.nexthops.length > 1;
  const first = several ? undefined : route.nexthops[0];
  const json: { [key: string]: JsonValue } = {};
  if (route.type !== "unicast") json["type"] = route.type;
  json["dst"] = destination(route);
  if (route.tos !== 0) json["tos"] = `0x${route.tos.toString(16)}`;
  if (first !== undefined) Object.assign(json, wayJson(route, first));
  if (showTable && route.table !== RT_TABLE_MAIN) json["table"] = tableName(route.table);
  if (route.protocol !== "boot") json["protocol"] = protocolName(route.protocol);
  if (route.prefix.family === 4 && route.scope !== RT_SCOPE_UNIVERSE) {
    json["scope"] = scopeName(route.scope);
  }
  if (route.prefsrc !== undefined) json["prefsrc"] = formatIp(route.prefsrc);
  if (route.prefix.family === 6 || route.metric !== 0) json["metric"] = route.metric;
  json["flags"] = first === undefined ? [] : nexthopFlags(first);
  const metrics: { [key: string]: JsonValue } = {};
  if (route.mtu !== 0) metrics["mtu"] = route.mtu;
  if (route.advmss !== 0) metrics["advmss"] = route.advmss;
  if (Object.keys(metrics).length > 0) json["metrics"] = [metrics];
  if (several) {
    json["nexthops"] = route.nexthops.map((nexthop) => ({
      ...wayJson(route, nexthop),
      weight: nexthop.weight,
      flags: nexthopFlags(nexthop),
    }));
  }
  if (route.prefix.family === 6) json["pref"] = "medium";
  return json;
}

function wayJson(route: Route, nexthop: Nexthop): { [key: string]: JsonValue } {
  const { gateway } = nexthop;
  const dev = deviceName(route, nexthop);
  const way: { [key: string]: JsonValue } = {};
  if (gateway !== undefined && typeof gateway !== "number" && route.prefix.family === 4) {
    way["via"] = { family: "inet6", host: formatIp(gateway) };
  } else if (gateway !== undefined) {
    way["gateway"] = formatIp(gateway);
  }
  if (dev !== undefined) way["dev"] = dev;
  return way;
}

/** IPv6 routes that refuse hang on the loopback device (`ip6_route_info_create`). */
function deviceName(route: Route, nexthop: Nexthop): string | undefined {
  if (nexthop.dev !== undefined) return nexthop.dev.name;
  return route.prefix.family === 6 ? "lo" : undefined;
}

function destination({ prefix }: Route): string {
  if (prefix.length === 0) return "default";
  return prefix.isHost ? formatIp(prefix.address) : prefix.toString();
}

function nexthopFlags(nexthop: Nexthop): string[] {
  const { dev } = nexthop;
  const { type } = nexthop.route;
  const linkdown =
    dev !== undefined && !dev.carrier && nexthop.scope !== RT_SCOPE_NOWHERE && type !== "local";
  return [
    ...(nexthop.dead ? ["dead"] : []),
    ...(nexthop.onlink ? ["onlink"] : []),
    ...(linkdown ? ["linkdown"] : []),
  ];
}

/** Names of /etc/iproute2/rt_tables. */
export function tableName(table: number): string {
  const names: Readonly<Record<number, string>> = {
    0: "unspec",
    253: "default",
    254: "main",
    255: "local",
  };
  return names[table] ?? String(table);
}

/** Names of /etc/iproute2/rt_protos. */
const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: "redirect",
  2: "kernel",
  3: "boot",
  4: "static",
  8: "gated",
  9: "ra",
  10: "mrt",
  11: "zebra",
  12: "bird",
  16: "dhcp",
  18: "keepalived",
  42: "babel",
  186: "bgp",
  187: "isis",
  188: "ospf",
  189: "rip",
  192: "eigrp",
};

function protocolName(protocol: RouteProtocol): string {
  return typeof protocol === "string" ? protocol : (PROTOCOL_NAMES[protocol] ?? String(protocol));
}
