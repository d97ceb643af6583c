import { type CustomResource, InputError, SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, KernelError, type NetNamespace, Network } from "@cnilab/linux";
import { addAddresses } from "./address-list.ts";
import { DeviceBuilder } from "./devices.ts";
import { addForwardingEntries } from "./forwarding-database.ts";
import { addNeighbours } from "./neighbours.ts";
import { addNetfilter } from "./netfilter.ts";
import { OutsideWorld } from "./outside-world.ts";
import { addRoutes, routesFile } from "./routes.ts";
import { addRules, rulesFile } from "./rules.ts";
import type { SavedFiles } from "./saved-files.ts";
import type { SavedLink } from "./saved-link.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import { readNodes, type SavedNode } from "./saved-node.ts";
import { addServers } from "./sockets.ts";
import { hasBridgeNetfilter, SYSCTLS, writeSysctls } from "./sysctls.ts";
import { addTrafficControl } from "./traffic-control.ts";
import { Unmodelled } from "./unmodelled.ts";
import { addPeers } from "./wireguard.ts";
import { type Wire, wire } from "./wiring.ts";

export interface ImportOptions {
  readonly seed?: number;
  /** `all`: everything answers on every port, also where listening sockets were saved. */
  readonly listen?: "saved" | "all";
  /** Kinds that objects may be of beside the built-in ones. */
  readonly resources?: readonly CustomResource[];
}

/** Machines as they were saved, in the model. */
export interface ImportedState {
  readonly network: Network;
  /** The saved machines, without those that are assumed around them. */
  readonly nodes: ReadonlyMap<string, Kernel>;
  readonly outside: OutsideWorld;
  /** What was saved and is not modelled: one line for each kind and node. */
  readonly unmodelled: Unmodelled;
}

/** Kinds of state that a node may have been saved without, and what is assumed then. */
const OPTIONAL: readonly (readonly [file: string, otherwise: string])[] = [
  ["addrs.json", "devices have no addresses"],
  [routesFile(4), "there are the routes that addresses bring"],
  [routesFile(6), "there are the routes that addresses bring"],
  [rulesFile(4), "there are the usual rules"],
  [rulesFile(6), "there are the usual rules"],
  ["neigh.json", "neighbours are asked for"],
  ["fdb.json", "MACs are learnt"],
  [SYSCTLS, "they have the kernel's defaults"],
  ["iptables.txt", "there are no rules"],
  ["ip6tables.txt", "there are no rules"],
  ["nft.txt", "there are no rules"],
  ["ipset.txt", "there are no sets"],
];

/** Reads what the collect script saved. @throws InputError with file, and field or line */
export function importState(files: SavedFiles, options: ImportOptions = {}): ImportedState {
  const random = new SeededRandom(options.seed ?? 1);
  const network = new Network(new VirtualClock(), random.fork("network"));
  const unmodelled = new Unmodelled();
  const saved = readNodes(files);
  const wires = wire(network, saved);
  const nodes = new Map<string, Kernel>();
  for (const node of saved) {
    const kernel = new Kernel(network, node.name);
    nodes.set(node.name, kernel);
    importNode(node, kernel, wires, unmodelled, options);
  }
  const outside = new OutsideWorld(network, new Set(wires.values()));
  return { network, nodes, outside, unmodelled };
}

function importNode(
  node: SavedNode,
  kernel: Kernel,
  wires: ReadonlyMap<SavedLink, Wire>,
  unmodelled: Unmodelled,
  options: ImportOptions,
): void {
  const root = node.namespaces[0] as SavedNamespace;
  if (root.files.has(SYSCTLS)) kernel.brNetfilter = hasBridgeNetfilter(root);
  for (const [file, otherwise] of OPTIONAL) {
    if (!root.files.has(file)) unmodelled.note(node.name, `not collected, so ${otherwise}`, file);
  }
  for (const name of node.unread) unmodelled.note(node.name, "namespaces, not collected", name);
  const builder = new DeviceBuilder(node, kernel, wires, unmodelled);
  try {
    builder.build();
    for (const [saved, netns] of builder.namespaces) writeSysctls(netns, saved, unmodelled);
    builder.up();
    for (const [saved, netns] of builder.namespaces) {
      importNamespace(node, saved, netns, unmodelled);
      addServers(netns, saved, options.listen === "all");
    }
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new InputError(`the kernel would not have this state (${error.message})`, node.name);
  }
}

function importNamespace(
  node: SavedNode,
  saved: SavedNamespace,
  netns: NetNamespace,
  unmodelled: Unmodelled,
): void {
  addAddresses(netns, saved, node.addresses.get(saved) ?? [], unmodelled);
  for (const family of [4, 6] as const) {
    addRoutes(netns, saved, family, unmodelled);
    addRules(netns, saved, family, unmodelled);
  }
  addNeighbours(netns, saved);
  addForwardingEntries(netns, saved, unmodelled);
  addPeers(netns, saved);
  addTrafficControl(netns, saved, unmodelled);
  addNetfilter(netns, saved, unmodelled);
}
