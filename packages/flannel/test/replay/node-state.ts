import {
  type DeviceAddress,
  type Fib,
  type Kernel,
  type NetDevice,
  type NetNamespace,
  type Route,
  Vxlan,
} from "@cnilab/linux";
import {
  familyOf,
  formatIp,
  formatMac,
  type IpAddress,
  isLinkLocal,
  isMulticast,
} from "@cnilab/net";
import type { NodeState, Row } from "./case.ts";

/**
 * What the recorder saw of a node, in the shapes of `ip -j -d` and `bridge -j`.
 * @param sysctls those that were recorded
 */
export function stateOf(kernel: Kernel, sysctls: Iterable<string>): NodeState {
  const netns = kernel.initNs;
  return {
    links: netns.devices.map(linkRow),
    addrs: netns.devices.flatMap((dev) => dev.addresses.map((a) => addressRow(dev, a))),
    routes: [...routeRows(netns.fib4), ...routeRows(netns.fib6)],
    fdb: netns.devices.flatMap((dev) => (dev instanceof Vxlan ? fdbRows(dev) : [])),
    iptables: saved(netns, 4),
    ip6tables: saved(netns, 6),
    nftables: lines(netns.findNftables()?.list() ?? ""),
    sysctl: Object.fromEntries([...sysctls].map((path) => [path, netns.sysctl.getText(path)])),
    neigh_permanent: netns.devices.flatMap(neighbourRows),
    rules: netns.fib4.rules.map((rule) => ({
      priority: rule.priority,
      src: "all",
      table: "table" in rule.action ? TABLES[rule.action.table] : undefined,
    })),
    subnetEnv: kernel.files.read("/run/flannel/subnet.env") ?? "",
  };
}

function linkRow(dev: NetDevice): Row {
  return {
    ifname: dev.name,
    mtu: dev.mtu,
    // Devices that carry bare IP packets have none.
    ...((dev.isEthernet || dev.isLoopback) && { address: formatMac(dev.mac) }),
    flags: dev.flags.toSorted(),
    promiscuity: dev.promiscuity,
    kind: dev.isLoopback ? "loopback" : dev.kind,
    ...(dev instanceof Vxlan && { data: vxlanData(dev) }),
  };
}

function vxlanData(dev: Vxlan): Row {
  const { local } = dev;
  return {
    id: dev.vni,
    ...(local !== undefined && { [familyOf(local) === 4 ? "local" : "local6"]: formatIp(local) }),
    ...(dev.link !== undefined && { link: dev.link.name }),
    port_range: { low: 0, high: 0 },
    port: dev.port,
    learning: dev.learning,
    ttl: dev.ttl,
    df: "unset",
    ageing: dev.ageing,
    udp_csum: dev.udpChecksum,
    udp_zero_csum6_tx: false,
    udp_zero_csum6_rx: false,
    ...(dev.groupPolicy && { gbp: true }),
  };
}

function addressRow(dev: NetDevice, a: DeviceAddress): Row {
  const isV4 = typeof a.address === "number";
  return {
    ifname: dev.name,
    family: isV4 ? "inet" : "inet6",
    local: shownAddress(a.address),
    prefixlen: a.prefixLength,
    scope: SCOPES[a.scope],
    ...(a.broadcast !== undefined && { broadcast: formatIp(a.broadcast) }),
    ...(isV4 && { label: a.label }),
    ...(a.nodad && { nodad: true }),
  };
}

/** Link-local addresses are made of random MACs. */
function shownAddress(address: IpAddress): string {
  return typeof address !== "number" && isLinkLocal(address) ? "<linklocal>" : formatIp(address);
}

const SCOPES: Readonly<Record<number, string>> = { 0: "global", 253: "link", 254: "host" };
const TABLES: Readonly<Record<number, string>> = { 253: "default", 254: "main", 255: "local" };

function* routeRows(fib: Fib): Iterable<Row> {
  for (const route of fib.routes()) {
    const { address } = route.prefix;
    if (route.nexthops[0]?.dev?.isLoopback || isMulticast(address)) continue;
    if (typeof address !== "number" && isLinkLocal(address)) continue;
    yield routeRow(route);
  }
}

function routeRow(route: Route): Row {
  const { prefix, type, table, protocol, scope, prefsrc, metric, nexthops } = route;
  const isV4 = prefix.family === 4;
  const [first] = nexthops;
  const to = prefix.isHost ? formatIp(prefix.address) : String(prefix);
  return {
    ...(type !== "unicast" && { type }),
    dst: prefix.length === 0 ? "default" : to,
    ...(first?.gateway !== undefined && { gateway: formatIp(first.gateway) }),
    ...(first?.dev !== undefined && { dev: first.dev.name }),
    ...(table !== 254 && { table: TABLES[table] }),
    ...(protocol !== "boot" && { protocol }),
    ...(isV4 && scope !== 0 && { scope: SCOPES[scope] }),
    ...(prefsrc !== undefined && { prefsrc: formatIp(prefsrc) }),
    ...((!isV4 || metric !== 0) && { metric }),
    flags: first?.onlink ? ["onlink"] : [],
    ...(!isV4 && { pref: "medium" }),
    family: isV4 ? "inet" : "inet6",
  };
}

function fdbRows(dev: Vxlan): Row[] {
  return [...dev.fdbEntries()].flatMap((entry) =>
    entry.remotes.map((remote) => ({
      mac: formatMac(entry.mac),
      ifname: dev.name,
      dst: formatIp(remote),
      flags: ["self"],
      state: entry.permanent ? "permanent" : "",
    })),
  );
}

function neighbourRows(dev: NetDevice): Row[] {
  return [...(dev.neighbours?.entries() ?? [])]
    .filter((neighbour) => neighbour.state === "PERMANENT")
    .map((neighbour) => ({
      dst: formatIp(neighbour.ip),
      dev: dev.name,
      lladdr: formatMac(neighbour.mac),
      state: ["PERMANENT"],
    }));
}

/** Without the comment lines, which have a date. */
function saved(netns: NetNamespace, family: 4 | 6): string[] {
  const text = netns.findIptables(family)?.save() ?? "";
  return lines(text)
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/\[\d+:\d+\]/, "[0:0]"));
}

/** Blank lines inside of a text count, the end of its last line does not. */
function lines(text: string): string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}
