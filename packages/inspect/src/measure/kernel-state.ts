import type { Kernel, NetNamespace } from "@cnilab/linux";
import { dpctlDumpFlows, RT_TABLE_LOCAL, RT_TABLE_MAIN } from "@cnilab/linux";
import { fdbJson } from "../iproute/fdb.ts";
import type { JsonObject } from "../json.ts";
import { show, showJson, type ViewName } from "../show.ts";

/** How much a machine's own namespace and its eBPF maps hold: lines of the real tools' listings. */
export interface KernelState {
  /** `ip link`. */
  readonly devices: number;
  /** `ip route`, `ip -6 route`: table main, and all others but local. */
  readonly routes: number;
  /** Those of table main that lead to a single address. */
  readonly hostRoutes: number;
  /** `ip rule`, `ip -6 rule`. */
  readonly routingRules: number;
  /** `ip neigh`. */
  readonly neighbours: number;
  /** `bridge fdb`, without multicast groups. */
  readonly fdb: number;
  /** Rules of `iptables-save` and `ip6tables-save`. */
  readonly iptablesRules: number;
  /** The same by the word that their chains' names begin with, as `KUBE`; those of chains that every kernel has are not among them. */
  readonly iptablesOwners: Readonly<Record<string, number>>;
  /** Rules of `nft list ruleset`, and what its sets and maps hold. */
  readonly nftRules: number;
  readonly nftElements: number;
  /** Entries of `ipset list`. */
  readonly ipsetMembers: number;
  /** Virtual services and real servers of `ipvsadm -Ln`. */
  readonly ipvsServers: number;
  /** Entries of eBPF maps that agents fill; arrays, whose size is fixed, are left out. */
  readonly bpfEntries: number;
  /** The same by the name of the map; maps that differ by a number alone count as one. */
  readonly bpfMaps: Readonly<Record<string, number>>;
  /** Flows of `ovs-dpctl dump-flows`. */
  readonly ovsFlows: number;
  /** What packets leave behind: `conntrack -L`, and eBPF maps that forget what was not used for long (`lru_hash`). */
  readonly tracked: number;
}

/** Counts what is there at this moment. */
export function kernelState(kernel: Kernel): KernelState {
  const { initNs } = kernel;
  const nft = nftCounts(initNs);
  const chains = chainsOfRules(initNs);
  const maps = bpfMaps(kernel);
  const tracked = trackedEntries(kernel);
  return {
    devices: initNs.devices.length,
    routes: listed("routes", initNs) + routesOfOtherTables(initNs),
    hostRoutes: hostRoutes(initNs),
    routingRules: listed("rules", initNs),
    neighbours: listed("neigh", initNs),
    fdb: fdbJson(initNs).filter(({ mac }) => !isGroup(String(mac))).length,
    iptablesRules: chains.length,
    iptablesOwners: ownersOf(chains),
    nftRules: nft.rules,
    nftElements: nft.elements,
    ipsetMembers: initNs.ipsets.all.reduce((sum, { size }) => sum + size, 0),
    ipvsServers: linesOf(initNs.findIpvs()?.list() ?? "", /^(TCP|UDP|SCTP|FWM) |^ {2}-> \S+:\d/),
    bpfEntries: sumOf(maps),
    bpfMaps: maps,
    ovsFlows: ovsFlows(initNs),
    tracked: tracked.conntrack + tracked.bpf,
  };
}

/** Lines of a listing that has JSON. */
function listed(what: ViewName, netns: NetNamespace): number {
  const lines = showJson(what, netns);
  return Array.isArray(lines) ? lines.length : 0;
}

/** iproute2 writes no length for them. */
function hostRoutes(netns: NetNamespace): number {
  const routes = showJson("routes", netns);
  if (!Array.isArray(routes)) return 0;
  return (routes as JsonObject[]).filter(
    ({ dst, dev, type }) => type === undefined && dev !== "lo" && isAddress(String(dst)),
  ).length;
}

function isAddress(text: string): boolean {
  return text !== "default" && !text.includes("/");
}

function routesOfOtherTables(netns: NetNamespace): number {
  let count = 0;
  for (const { tables } of [netns.fib4, netns.fib6]) {
    for (const { id, size } of tables)
      if (id !== RT_TABLE_MAIN && id !== RT_TABLE_LOCAL) count += size;
  }
  return count;
}

/** IEEE 802: the lowest bit of the first byte. */
function isGroup(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/** The chain of each rule. */
function chainsOfRules(netns: NetNamespace): string[] {
  const saved = show("iptables", netns) + show("ip6tables", netns);
  return [...saved.matchAll(/^-A (\S+)/gm)].map(([, chain]) => chain as string);
}

const BUILTIN = /^(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/;

function ownersOf(chains: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const chain of chains) {
    if (BUILTIN.test(chain)) continue;
    const [owner = chain] = /^[^-_:]+/.exec(chain) ?? [];
    counts[owner] = (counts[owner] ?? 0) + 1;
  }
  return counts;
}

function linesOf(text: string, pattern: RegExp): number {
  return text.split("\n").filter((line) => pattern.test(line)).length;
}

/** As far as `nft -j` is read here. */
interface NftObject {
  readonly rule?: object;
  readonly set?: { readonly elem?: readonly unknown[] };
  readonly map?: { readonly elem?: readonly unknown[] };
}

function nftCounts(netns: NetNamespace): { readonly rules: number; readonly elements: number } {
  const listing = netns.findNftables()?.json() as { readonly nftables: NftObject[] } | undefined;
  let [rules, elements] = [0, 0];
  for (const { rule, set, map } of listing?.nftables ?? []) {
    if (rule !== undefined) rules++;
    elements += (set?.elem?.length ?? 0) + (map?.elem?.length ?? 0);
  }
  return { rules, elements };
}

/** Flows of all Open vSwitch datapaths. */
function ovsFlows(netns: NetNamespace): number {
  return linesOf(dpctlDumpFlows(netns), /actions:/);
}

/** What packets leave behind: see {@link KernelState.tracked}. */
export interface TrackedEntries {
  /** Connections in `conntrack -L`. */
  readonly conntrack: number;
  /** Entries of eBPF maps that forget what was not used for long. */
  readonly bpf: number;
}

export function trackedEntries(kernel: Kernel): TrackedEntries {
  kernel.network.settleFlows();
  let bpf = 0;
  for (const { type, size } of kernel.findBpf()?.maps.values() ?? []) {
    if (type === "lru_hash") bpf += size;
  }
  return { conntrack: kernel.initNs.conntrack?.size ?? 0, bpf };
}

function bpfMaps(kernel: Kernel): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { name, type, size } of kernel.findBpf()?.maps.values() ?? []) {
    if (type === "lru_hash" || type.includes("array") || size === 0) continue;
    const kind = name.replace(/_\d+$/, "");
    counts[kind] = (counts[kind] ?? 0) + size;
  }
  return counts;
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
