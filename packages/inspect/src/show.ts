import type { Machine } from "@cnilab/core";
import {
  datapathsJson,
  dpctlDumpFlows,
  dpctlShow,
  type NetNamespace,
  xfrmPolicyText,
  xfrmStateText,
} from "@cnilab/linux";
import { type IpFamily, isLinkLocal, isLoopback } from "@cnilab/net";
import { conntrackJson, conntrackText } from "./conntrack.ts";
import { addrsJson, addrsText } from "./iproute/addrs.ts";
import { fdbJson, fdbText } from "./iproute/fdb.ts";
import { linksJson, linksText } from "./iproute/links.ts";
import { neighboursJson, neighboursText } from "./iproute/neighbours.ts";
import { type RouteOptions, routesJson, routesText } from "./iproute/routes.ts";
import { rulesJson, rulesText } from "./iproute/rules.ts";
import { ingressFilterText, qdiscsJson, qdiscsText } from "./iproute/traffic-control.ts";
import type { JsonValue } from "./json.ts";
import { socketsJson, socketsText } from "./sockets.ts";
import { sysctlsJson, sysctlsText } from "./sysctls.ts";
import {
  hnsEndpointsJson,
  hnsEndpointsText,
  hnsLoadBalancersJson,
  hnsLoadBalancersText,
  hnsNetworksJson,
  hnsNetworksText,
} from "./windows/hns-text.ts";
import { vfpFlowsText, vfpRulesText } from "./windows/vfp-text.ts";

export interface ShowOptions {
  /** Of routes: `table all`, or one table by number. */
  readonly table?: RouteOptions["table"];
  /** One family of routes and rules, rather than those that the namespace has addresses of. */
  readonly family?: IpFamily;
}

/** One kind of kernel state: what it is, and how the real tools print it. */
export interface View {
  /** The command whose output this is. */
  readonly command: string;
  /** The system whose machines have it; all have what is said of none. */
  readonly os?: Machine["os"];
  text(netns: NetNamespace, options: ShowOptions): string;
  /** Absent where neither the real tool nor we have JSON for it. */
  json?(netns: NetNamespace, options: ShowOptions): JsonValue;
}

export type ViewName =
  | "links"
  | "addrs"
  | "routes"
  | "rules"
  | "neigh"
  | "fdb"
  | "tc"
  | "iptables"
  | "ip6tables"
  | "nft"
  | "ipset"
  | "ipvs"
  | "conntrack"
  | "ovs"
  | "xfrm"
  | "sockets"
  | "sysctl"
  | "hns-networks"
  | "hns-endpoints"
  | "hns-loadbalancers"
  | "vfp"
  | "vfp-flows";

/** What `show` can print, by name. */
export const VIEWS: Readonly<Record<ViewName, View>> = {
  links: {
    command: "ip -d link show",
    text: (netns) => linksText(netns),
    json: (netns) => linksJson(netns),
  },
  addrs: { command: "ip addr show", text: addrsText, json: addrsJson },
  routes: { command: "ip route show", text: routesOf, json: routesJsonOf },
  rules: {
    os: "linux",
    command: "ip rule show",
    text: (netns, { family }) =>
      familiesOf(netns, family)
        .map((f) => rulesText(netns, f))
        .join(""),
    json: (netns, { family }) => familiesOf(netns, family).flatMap((f) => rulesJson(netns, f)),
  },
  neigh: {
    command: "ip neigh show",
    text: (netns) => neighboursText(netns),
    json: (netns) => neighboursJson(netns),
  },
  fdb: { os: "linux", command: "bridge fdb show", text: fdbText, json: fdbJson },
  tc: {
    os: "linux",
    command: "tc qdisc show; tc filter show",
    text: (netns) => qdiscsText(netns) + netns.devices.map(ingressFilterText).join(""),
    json: qdiscsJson,
  },
  iptables: { os: "linux", command: "iptables-save", text: (netns) => savedTables(netns, 4) },
  ip6tables: { os: "linux", command: "ip6tables-save", text: (netns) => savedTables(netns, 6) },
  nft: {
    os: "linux",
    command: "nft list ruleset",
    text: (netns) => netns.findNftables()?.list() ?? "",
    json: (netns) => netns.nftables.json(),
  },
  ipset: {
    os: "linux",
    command: "ipset save",
    text: (netns) => (netns as WithIpsets).ipsets?.save() ?? "",
  },
  ipvs: { os: "linux", command: "ipvsadm -Ln; ipvsadm -Lnc", text: ipvsText },
  conntrack: {
    os: "linux",
    command: "conntrack -L",
    text: (netns) => conntrackText(netns),
    json: (netns) => conntrackJson(netns),
  },
  ovs: {
    os: "linux",
    command: "ovs-dpctl show; ovs-dpctl dump-flows",
    text: (netns) => dpctlShow(netns) + dpctlDumpFlows(netns),
    json: (netns) => datapathsJson(netns) as unknown as JsonValue,
  },
  xfrm: {
    os: "linux",
    command: "ip xfrm state; ip xfrm policy",
    text: (netns) => xfrmStateText(netns) + xfrmPolicyText(netns),
  },
  sockets: { command: "ss -tulpn", text: socketsText, json: socketsJson },
  sysctl: {
    os: "linux",
    command: "sysctl -a",
    text: (netns) => sysctlsText(netns),
    json: (netns) => sysctlsJson(netns),
  },
  "hns-networks": {
    os: "windows",
    command: "hnsdiag list networks",
    text: hnsNetworksText,
    json: hnsNetworksJson,
  },
  "hns-endpoints": {
    os: "windows",
    command: "hnsdiag list endpoints",
    text: hnsEndpointsText,
    json: hnsEndpointsJson,
  },
  "hns-loadbalancers": {
    os: "windows",
    command: "hnsdiag list loadbalancers",
    text: hnsLoadBalancersText,
    json: hnsLoadBalancersJson,
  },
  vfp: { os: "windows", command: "vfpctrl /list-rule", text: vfpRulesText },
  "vfp-flows": { os: "windows", command: "vfpctrl /list-unified-flow", text: vfpFlowsText },
};

/** Whether `show` knows this name. */
export function isViewName(name: string): name is ViewName {
  return Object.hasOwn(VIEWS, name);
}

/** Kernel state of a namespace as the real tool prints it. */
export function show(what: ViewName, netns: NetNamespace, options: ShowOptions = {}): string {
  netns.network.settleFlows();
  return VIEWS[what].text(netns, options);
}

/** The same as the real tool's JSON, or our own where it has none; `undefined` where there is neither. */
export function showJson(
  what: ViewName,
  netns: NetNamespace,
  options: ShowOptions = {},
): JsonValue | undefined {
  netns.network.settleFlows();
  return VIEWS[what].json?.(netns, options);
}

/** The family asked for, or those that the namespace has addresses of beyond its own link; IPv4 if none. */
function familiesOf(netns: NetNamespace, family: IpFamily | undefined): IpFamily[] {
  if (family !== undefined) return [family];
  const found = new Set<IpFamily>();
  for (const { addresses } of netns.devices) {
    for (const { address } of addresses) {
      if (!isLoopback(address) && !(typeof address !== "number" && isLinkLocal(address))) {
        found.add(typeof address === "number" ? 4 : 6);
      }
    }
  }
  return found.size === 0 ? [4] : [...found].sort();
}

function routeOptionsOf(netns: NetNamespace, { table, family }: ShowOptions): RouteOptions[] {
  const which = table === undefined ? {} : { table };
  if (table === "all" && family === undefined) return [which];
  return familiesOf(netns, family).map((f) => ({ ...which, family: f }));
}

function routesOf(netns: NetNamespace, options: ShowOptions): string {
  return routeOptionsOf(netns, options)
    .map((o) => routesText(netns, o))
    .join("");
}

function routesJsonOf(netns: NetNamespace, options: ShowOptions): JsonValue {
  return routeOptionsOf(netns, options).flatMap((o) => routesJson(netns, o));
}

function savedTables(netns: NetNamespace, family: IpFamily): string {
  return netns.findIptables(family)?.save() ?? "";
}

/** The virtual services with their real servers, and the connections that there are. */
function ipvsText(netns: NetNamespace): string {
  const ipvs = netns.findIpvs();
  if (ipvs === undefined || ipvs.serviceCount === 0) return "";
  return ipvs.list() + (ipvs.connections.size === 0 ? "" : `\n${ipvs.listConnections()}`);
}

/** Namespaces get their sets on demand. */
interface WithIpsets {
  readonly ipsets?: { save(): string };
}
