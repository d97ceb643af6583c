import type { HostFiles } from "@cnilab/core";
import {
  Bridge,
  type DeviceAddress,
  Macvlan,
  type NetDevice,
  type NetNamespace,
  type Route,
} from "@cnilab/linux";
import { formatIp, formatMac, isLinkLocal, isMulticast } from "@cnilab/net";
import type { NamespaceState, Row } from "./case.ts";

// What the recorder saw of a namespace, in the shapes of `ip -j -d` and `bridge -j`.

export function linksOf(netns: NetNamespace): Row[] {
  return netns.devices.map((dev) => ({
    ifname: dev.name,
    mtu: dev.mtu,
    address: formatMac(dev.mac),
    ...(dev.master !== undefined && { master: dev.master.name }),
    flags: dev.flags.toSorted(),
    promiscuity: dev.promiscuity,
    kind: dev.isLoopback ? "loopback" : dev.kind,
    ...(dev instanceof Bridge && { bridge: BRIDGE_DEFAULTS }),
    ...(dev instanceof Macvlan && { macvlan: { mode: dev.mode } }),
    ...(dev.bridgePort !== undefined && { port: portOf(dev) }),
  }));
}

const BRIDGE_DEFAULTS: Row = {
  forward_delay: 1500,
  ageing_time: 30000,
  stp_state: 0,
  vlan_filtering: 0,
};

function portOf({ bridgePort, up, carrier }: NetDevice): Row | undefined {
  if (bridgePort === undefined) return undefined;
  const { hairpin, learning, flood, mcastFlood, bcastFlood, isolated } = bridgePort;
  return {
    state: up && carrier && bridgePort.bridge.up ? "forwarding" : "disabled",
    hairpin,
    learning,
    flood,
    mcast_flood: mcastFlood,
    bcast_flood: bcastFlood,
    isolated,
  };
}

export function addressesOf(netns: NetNamespace): Row[] {
  return netns.devices.flatMap((dev) => {
    const shown = dev.addresses.filter(
      (a) => typeof a.address === "number" || !isLinkLocal(a.address),
    );
    return shown.map((a) => addressRow(dev, a));
  });
}

function addressRow(dev: NetDevice, a: DeviceAddress): Row {
  return {
    ifname: dev.name,
    family: typeof a.address === "number" ? "inet" : "inet6",
    local: formatIp(a.address),
    prefixlen: a.prefixLength,
    scope: scopeName(a.scope),
    ...(a.broadcast !== undefined && { broadcast: formatIp(a.broadcast) }),
    ...(a.label !== undefined && { label: a.label }),
    ...(a.nodad && { nodad: true }),
    ...(a.secondary && { secondary: true }),
  };
}

function scopeName(scope: number): string {
  return scope === 253 ? "link" : scope === 254 ? "host" : scope === 0 ? "global" : String(scope);
}

const TABLES: Readonly<Record<number, string>> = { 253: "default", 255: "local" };

export function routesOf(netns: NetNamespace): Row[] {
  const rows: Row[] = [];
  for (const family of [4, 6] as const) {
    for (const route of netns.fib(family).routes()) {
      const dev = route.nexthops[0]?.dev;
      const { address } = route.prefix;
      if (dev?.isLoopback || isMulticast(address)) continue;
      if (typeof address !== "number" && isLinkLocal(address)) continue;
      rows.push(routeRow(route));
    }
  }
  return rows;
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
    ...(table !== 254 && { table: TABLES[table] ?? String(table) }),
    ...(protocol !== "boot" && { protocol }),
    ...(isV4 && scope !== 0 && { scope: scopeName(scope) }),
    ...(prefsrc !== undefined && { prefsrc: formatIp(prefsrc) }),
    ...((!isV4 || metric !== 0) && { metric }),
    flags: first?.onlink ? ["onlink"] : [],
    ...(!isV4 && { pref: "medium" }),
    family: isV4 ? "inet" : "inet6",
  };
}

export function fdbOf(netns: NetNamespace): Row[] {
  return netns.devices.flatMap((dev) => {
    if (!(dev instanceof Bridge)) return [];
    return [...dev.fdb.entries()].map((entry) => ({
      mac: formatMac(entry.mac),
      ifname: entry.port?.dev.name ?? dev.name,
      flags: [],
      master: dev.name,
      state: entry.local ? "permanent" : entry.isStatic ? "static" : "",
    }));
  });
}

/** Queueing as far as it means something: rates, and where packets are sent first. */
export function shapingOf(netns: NetNamespace): Row {
  const shaping: Record<string, Row> = {};
  for (const dev of netns.devices) {
    if (dev.tc === undefined) continue;
    const { root, redirect } = dev.tc;
    shaping[dev.name] = {
      ...(root !== undefined && { rate: root.rate, burst: root.burst }),
      ...(root !== undefined && {
        latencyMs: Math.round((1000 * (root.limit - root.burst)) / root.rate),
      }),
      ...(redirect !== undefined && { redirect: redirect.to.name }),
    };
  }
  return shaping;
}

/** @param shown namespaces whose packet filters were recorded */
export function stateOf(netns: NetNamespace, shown: boolean): NamespaceState & { shaping: Row } {
  const save = (family: 4 | 6) => netns.findIptables(family)?.save().split("\n") ?? [];
  return {
    links: linksOf(netns),
    addrs: addressesOf(netns),
    routes: routesOf(netns),
    shaping: shapingOf(netns),
    ...(shown && {
      fdb: fdbOf(netns),
      iptables: save(4),
      ip6tables: save(6),
      nftables: netns.findNftables()?.list().split("\n") ?? [],
    }),
  };
}

const DATA_DIR = "/var/lib/cni/networks/";

/** Files below host-local's folder, by their paths from there. */
export function ipamFiles(files: HostFiles, folders: Iterable<string>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const folder of folders) {
    for (const name of files.list(folder)) {
      const path = `${folder}/${name}`;
      if (path.startsWith(DATA_DIR)) found[path.slice(DATA_DIR.length)] = files.read(path) ?? "";
    }
  }
  return found;
}
