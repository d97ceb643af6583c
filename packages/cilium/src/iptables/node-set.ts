import type { NetNamespace, SharedElements } from "@cnilab/linux";
import { familyOf, formatIp, type IpFamily } from "@cnilab/net";
import type { ClusterCilium } from "../agent/cluster-cilium.ts";
import type { NodeRouteLayers } from "../agent/cluster-node-routes.ts";

/** Sets of all nodes' addresses, to which pods' packets go as they are (pkg/datapath/iptables/ipset). */
export const NODE_SET: Readonly<Record<IpFamily, string>> = {
  4: "cilium_node_set_v4",
  6: "cilium_node_set_v6",
};

/** The elements of all nodes' sets: equal on all of them, so they are kept once. */
export class NodeSets {
  readonly #shared = new Map<
    IpFamily,
    { readonly of: NodeRouteLayers; readonly elements: SharedElements }
  >();

  // biome-ignore lint/complexity/noUselessConstructor: parts of a cluster are made with it.
  constructor(_cluster: ClusterCilium) {}

  /** Makes a node's set say what there is now. */
  fill(netns: NetNamespace, family: IpFamily, now: NodeRouteLayers): void {
    const name = NODE_SET[family];
    ensureSet(netns, family);
    const set = netns.ipsets.find(name);
    const known = this.#shared.get(family);
    if (set === undefined) return;
    if (known?.of === now) {
      set.adopt(known.elements);
      return;
    }
    set.flush();
    const lines: string[] = [];
    for (const { addresses } of now.nodes.values()) {
      for (const a of addresses)
        if (familyOf(a) === family) lines.push(`add ${name} ${formatIp(a)}`);
    }
    if (lines.length > 0) netns.ipsets.restore(`${lines.join("\n")}\n`, { exist: true });
    this.#shared.set(family, { of: now, elements: set.share() });
  }
}

/** Rules that ask for a set want it to be there. */
export function ensureSet(netns: NetNamespace, family: IpFamily): void {
  const name = NODE_SET[family];
  if (netns.ipsets.find(name) !== undefined) return;
  netns.ipsets.run(`create ${name} hash:ip family ${family === 4 ? "inet" : "inet6"}`);
}
