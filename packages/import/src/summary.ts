import type { Kernel, NetNamespace } from "@cnilab/linux";
import type { ImportedCluster, ImportedNode } from "./imported-cluster.ts";

/** How much of everything one machine has, all of its namespaces together. */
export interface NodeSummary {
  readonly node: string;
  readonly namespaces: number;
  /** Namespaces that are pods', by the objects. */
  readonly pods: number;
  /** Without `lo`. */
  readonly devices: number;
  readonly addresses: number;
  readonly routes: number;
  readonly rules: number;
  readonly neighbours: number;
  readonly iptablesRules: number;
  readonly nftTables: number;
  readonly sets: number;
  /** What was saved and is not modelled, a line for each kind. */
  readonly unmodelled: readonly string[];
}

export function summarise(cluster: ImportedCluster): NodeSummary[] {
  return [...cluster.nodes].map(([name, node]) => ({
    node: name,
    ...counts(node),
    unmodelled: cluster.unmodelled.of(name),
  }));
}

function counts({ kernel, sandboxes }: ImportedNode): Omit<NodeSummary, "node" | "unmodelled"> {
  const all = namespacesOf(kernel);
  const devices = all.flatMap((netns) => netns.devices.filter((dev) => !dev.isLoopback));
  return {
    namespaces: all.length,
    pods: [...sandboxes.values()].filter((netns) => netns !== kernel.initNs).length,
    devices: devices.length,
    addresses: sum(devices, (dev) => dev.addresses.length),
    routes: sum(all, (netns) => fibs(netns).reduce((n, fib) => n + [...fib.routes()].length, 0)),
    rules: sum(all, (netns) => fibs(netns).reduce((n, fib) => n + fib.rules.length, 0)),
    neighbours: sum(devices, (dev) => [...(dev.neighbours?.entries() ?? [])].length),
    iptablesRules: sum(all, (netns) => linesOf(savedTables(netns), /^-A /gm)),
    nftTables: sum(all, (netns) => linesOf(netns.findNftables()?.list() ?? "", /^table /gm)),
    sets: sum(all, (netns) => netns.ipsets.all.length),
  };
}

function namespacesOf(kernel: Kernel): NetNamespace[] {
  return [kernel.initNs, ...kernel.namespaces];
}

function fibs(netns: NetNamespace): NetNamespace["fib4"][] {
  return [netns.fib(4), netns.fib(6)];
}

function savedTables(netns: NetNamespace): string {
  return [4, 6].map((family) => netns.findIptables(family as 4 | 6)?.save() ?? "").join("");
}

function linesOf(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

function sum<T>(things: readonly T[], of: (thing: T) => number): number {
  return things.reduce((total, thing) => total + of(thing), 0);
}
