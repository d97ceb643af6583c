import {
  type FibRule,
  type NetNamespace,
  type Nexthop,
  type Route,
  RT_TABLE_MAIN,
} from "@cnilab/linux";
import { formatIp, formatMac, type IpAddress, type IpFamily, isLoopback } from "@cnilab/net";

/** `ip address add …`, in the order in which the namespace got them. */
export function addressLines(netns: NetNamespace): string[] {
  const lines: string[] = [];
  for (const dev of netns.devices) {
    const own = dev.ipv6LinkLocal();
    for (const a of [...dev.addresses4, ...dev.addresses6.toReversed()]) {
      if (isLoopback(a.address) && dev.isLoopback) continue;
      // The kernel makes the link-local address of an Ethernet device when that comes up.
      if (typeof a.address !== "number" && own !== undefined && a.address === own) continue;
      const broadcast = a.broadcast === undefined ? "" : ` broadcast ${formatIp(a.broadcast)}`;
      const label = a.label === undefined || a.label === dev.name ? "" : ` label ${a.label}`;
      const scope = typeof a.address === "number" && a.scope !== 0 ? ` scope ${a.scope}` : "";
      const flags = `${typeof a.address === "number" ? "" : " nodad"}${a.noPrefixRoute ? " noprefixroute" : ""}`;
      lines.push(
        `address add ${formatIp(a.address)}/${a.prefixLength}${broadcast} dev ${dev.name}${label}${scope}${flags}`,
      );
    }
  }
  return lines;
}

/**
 * `ip route …` for what did not come with an address: those first that others' gateways are found by, and
 * those last that refuse, as a gateway behind them is not found.
 */
export function routeLines(netns: NetNamespace, family: IpFamily): string[] {
  const all = [...netns.fib(family).routes()];
  const routes = all.filter((r) => r.protocol !== "kernel");
  const refusing = routes.filter((r) => r.nexthops.every((n) => n.dev === undefined));
  const vias = routes.filter(hasGateway).sort((x, y) => x.prefix.length - y.prefix.length);
  const links = routes.filter((r) => !refusing.includes(r) && !vias.includes(r));
  const onLinks = all.filter((r) => r.type === "unicast" && !hasGateway(r));
  const ordered = family === 6 ? beforeHidden(vias, onLinks) : vias;
  return [...links, ...ordered, ...refusing].map((route) => routeLine(route, family));
}

function hasGateway({ nexthops }: Route): boolean {
  return nexthops.some((n) => n.gateway !== undefined);
}

/**
 * IPv6 refuses a gateway behind another gateway (`ip6_route_check_nh`): a route that is preferred to the link on which
 * another one's gateway is, by its length or its metric, comes after that one.
 */
function beforeHidden(vias: readonly Route[], onLinks: readonly Route[]): Iterable<Route> {
  const ordered = new Set<Route>();
  const begun = new Set<Route>();
  const place = (route: Route): void => {
    if (begun.has(route)) return;
    begun.add(route);
    for (const other of vias) if (hides(route, other, onLinks)) place(other);
    ordered.add(route);
  };
  for (const route of vias) place(route);
  return ordered;
}

/** Whether `other` could not be made any more once `route` is there. */
function hides(route: Route, other: Route, onLinks: readonly Route[]): boolean {
  return other.nexthops.some(({ gateway, dev }) => {
    if (gateway === undefined || !isFound(route, gateway, other)) return false;
    return !onLinks.some(
      (link) =>
        link.nexthops.some((n) => n.dev === dev) &&
        isFound(link, gateway, other) &&
        !isPreferred(route, link),
    );
  });
}

/** Whether a search for the gateway of `other` may come upon `route`: in the table of `other`, or in main. */
function isFound(route: Route, gateway: IpAddress, other: Route): boolean {
  const inTable = route.table === other.table || route.table === RT_TABLE_MAIN;
  return inTable && route.prefix.contains(gateway);
}

function isPreferred(x: Route, y: Route): boolean {
  return x.prefix.length === y.prefix.length
    ? x.metric < y.metric
    : x.prefix.length > y.prefix.length;
}

function routeLine(route: Route, family: IpFamily): string {
  // Several IPv4 routes may differ in nothing but their order; IPv6 would make one multipath route of them.
  const words = [family === 4 ? "route append" : "route add", route.type, String(route.prefix)];
  if (route.tos !== 0) words.push(`tos 0x${route.tos.toString(16)}`);
  words.push(`table ${route.table}`);
  if (route.protocol !== "boot") words.push(`proto ${route.protocol}`);
  if (family === 4) words.push(`scope ${route.scope}`);
  if (route.metric !== 0) words.push(`metric ${route.metric}`);
  if (route.prefsrc !== undefined) words.push(`src ${formatIp(route.prefsrc)}`);
  if (route.mtu !== 0) words.push(`mtu ${route.mtu}`);
  if (route.advmss !== 0) words.push(`advmss ${route.advmss}`);
  if (route.nexthops.length === 1) words.push(...wayWords(route.nexthops[0] as Nexthop));
  else {
    // A dead one cannot be made, and takes no packets.
    const alive = route.nexthops.filter((n) => !n.dead);
    for (const n of alive) words.push("nexthop", ...wayWords(n), `weight ${n.weight}`);
  }
  return words.join(" ");
}

function wayWords({ gateway, dev, onlink }: Nexthop): string[] {
  return [
    ...(gateway === undefined ? [] : [`via ${formatIp(gateway)}`]),
    ...(dev === undefined ? [] : [`dev ${dev.name}`]),
    ...(onlink ? ["onlink"] : []),
  ];
}

/** Table numbers of the rules that a namespace starts with, by priority. */
const DEFAULT_RULES: Readonly<Record<IpFamily, ReadonlyMap<number, number>>> = {
  4: new Map([
    [0, 255],
    [32766, 254],
    [32767, 253],
  ]),
  6: new Map([
    [0, 255],
    [32766, 254],
  ]),
};

/** `ip rule …`: what is there beyond the rules that a namespace starts with, and without those that it lost. */
export function ruleLines(netns: NetNamespace, family: IpFamily): string[] {
  const fib = netns.fib(family);
  if (!fib.hasCustomRules) return [];
  const missing = new Map(DEFAULT_RULES[family]);
  const added: FibRule[] = [];
  for (const rule of fib.rules) {
    if (isDefault(rule, family)) missing.delete(rule.priority);
    else added.push(rule);
  }
  return [
    ...added.map((rule) => `rule add ${ruleWords(rule).join(" ")}`),
    ...[...missing.keys()].map((priority) => `rule del priority ${priority}`),
  ];
}

function isDefault(rule: FibRule, family: IpFamily): boolean {
  const table = DEFAULT_RULES[family].get(rule.priority);
  return Object.keys(rule).length === 2 && "table" in rule.action && rule.action.table === table;
}

function ruleWords(rule: FibRule): string[] {
  const words = [`priority ${rule.priority}`];
  if (rule.not) words.unshift("not");
  words.push(`from ${rule.from ?? "all"}`);
  if (rule.to !== undefined) words.push(`to ${rule.to}`);
  if (rule.iif !== undefined) words.push(`iif ${rule.iif}`);
  if (rule.oif !== undefined) words.push(`oif ${rule.oif}`);
  if (rule.fwmark !== undefined) words.push(`fwmark ${rule.fwmark.value}/${rule.fwmark.mask}`);
  if (rule.tos !== undefined) words.push(`tos 0x${rule.tos.toString(16)}`);
  if (rule.ipProtocol !== undefined) words.push(`ipproto ${rule.ipProtocol}`);
  if (rule.sport !== undefined) words.push(`sport ${rule.sport.first}-${rule.sport.last}`);
  if (rule.dport !== undefined) words.push(`dport ${rule.dport.first}-${rule.dport.last}`);
  const { action } = rule;
  if ("table" in action) words.push(`table ${action.table}`);
  else if ("goto" in action) words.push(`goto ${action.goto}`);
  else words.push(action.type);
  if (rule.suppressPrefixLength !== undefined) {
    words.push(`suppress_prefixlength ${rule.suppressPrefixLength}`);
  }
  return words;
}

/** `ip neighbour …`: entries that somebody made, and proxies. */
export function neighbourLines(netns: NetNamespace): string[] {
  const lines: string[] = [];
  for (const dev of netns.devices) {
    for (const n of dev.neighbours?.entries() ?? []) {
      if (n.state !== "PERMANENT") continue;
      lines.push(`neighbour replace ${formatIp(n.ip)} lladdr ${formatMac(n.mac)} dev ${dev.name}`);
    }
    for (const ip of dev.neighbours?.proxies ?? []) {
      lines.push(`neighbour add proxy ${formatIp(ip)} dev ${dev.name}`);
    }
  }
  return lines;
}
