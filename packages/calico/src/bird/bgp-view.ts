import type { Node, Snapshot } from "@cnilab/core";
import { type Prefix, tryParsePrefix } from "@cnilab/net";
import type * as v3 from "../api/v3.ts";
import { type BgpNode, bgpNode } from "./bgp-node.ts";
import { type Peering, peerings } from "./peerings.ts";

/** One state of the API, as far as BGP follows from it. */
export interface BgpSources {
  readonly nodes: Snapshot<Node>;
  readonly configurations: Snapshot<v3.BGPConfiguration>;
  readonly peers: Snapshot<v3.BGPPeer>;
  readonly filters: Snapshot<v3.BGPFilter>;
  readonly pools: Snapshot<v3.IPPool>;
  readonly affinities: Snapshot<v3.BlockAffinity>;
}

/** A block that a node has, or is about to give up. */
export interface NodeBlock {
  readonly prefix: Prefix;
  readonly isConfirmed: boolean;
}

/** What is the same for all nodes. What says the same as before is the same object. */
export interface BgpCore {
  readonly nodes: ReadonlyMap<string, BgpNode>;
  /** BGPConfiguration `default`. */
  readonly settings: v3.BGPConfigurationSpec;
  /** BGPConfigurations `node.NAME`, by node. */
  readonly settingsOfNode: ReadonlyMap<string, v3.BGPConfigurationSpec>;
  /** Of each node, from BGPPeers. */
  readonly peerings: ReadonlyMap<string, readonly Peering[]>;
  readonly filters: ReadonlyMap<string, v3.BGPFilter>;
  readonly pools: readonly v3.IPPool[];
}

const GLOBAL = "default";
const PER_NODE = "node.";
const NO_BLOCKS: readonly NodeBlock[] = [];

/** What confd's client works out for each node for itself, worked out once for all of them. */
export class BgpView {
  readonly #usePodCidr: boolean;
  #sources: BgpSources | undefined;
  #core: BgpCore | undefined;
  readonly #nodeOf = new WeakMap<Node, BgpNode>();
  #affinities: Snapshot<v3.BlockAffinity> | undefined;
  #blocks = new Map<string, readonly NodeBlock[]>();

  /** @param usePodCidr with host-local IPAM, nodes' ranges are their blocks */
  constructor(usePodCidr: boolean) {
    this.#usePodCidr = usePodCidr;
  }

  core(sources: BgpSources): BgpCore {
    const last = this.#sources;
    this.#sources = sources;
    const before = this.#core;
    if (
      before !== undefined &&
      last?.nodes === sources.nodes &&
      last.configurations === sources.configurations &&
      last.peers === sources.peers &&
      last.filters === sources.filters &&
      last.pools === sources.pools
    ) {
      return before;
    }
    const nodes = this.#nodes(sources.nodes, before?.nodes);
    const isSame =
      before !== undefined &&
      nodes === before.nodes &&
      last?.configurations === sources.configurations &&
      last.peers === sources.peers &&
      last.filters === sources.filters &&
      last.pools === sources.pools;
    if (isSame) return before;
    const settings = new Map(
      [...sources.configurations.objects.values()].map((c) => [c.metadata.name, c.spec]),
    );
    const global = settings.get(GLOBAL) ?? {};
    const settingsOfNode = new Map(
      [...settings]
        .filter(([name]) => name.startsWith(PER_NODE))
        .map(([name, spec]) => [name.slice(PER_NODE.length), spec]),
    );
    const byName = (x: v3.BGPPeer, y: v3.BGPPeer) => (x.metadata.name < y.metadata.name ? -1 : 1);
    const peers = [...sources.peers.objects.values()].sort(byName);
    this.#core = {
      nodes,
      settings: global,
      settingsOfNode,
      peerings: peerings(peers, nodes, global, settingsOfNode),
      filters: sources.filters.objects,
      pools: [...sources.pools.objects.values()],
    };
    return this.#core;
  }

  #nodes(
    snapshot: Snapshot<Node>,
    before: ReadonlyMap<string, BgpNode> | undefined,
  ): ReadonlyMap<string, BgpNode> {
    const nodes = new Map<string, BgpNode>();
    let changed = before?.size !== snapshot.objects.size;
    for (const [name, object] of snapshot.objects) {
      let node = this.#nodeOf.get(object);
      if (node === undefined) {
        node = bgpNode(object, this.#usePodCidr);
        const known = before?.get(name);
        // Statuses and heartbeats change nodes all the time.
        if (known?.text === node.text) node = known;
        this.#nodeOf.set(object, node);
      }
      if (before?.get(name) !== node) changed = true;
      nodes.set(name, node);
    }
    return changed || before === undefined ? nodes : before;
  }

  /** The blocks of one node; the same object while they are the same. */
  blocks(sources: BgpSources, core: BgpCore, node: string): readonly NodeBlock[] {
    if (this.#usePodCidr) {
      const podCidrs = core.nodes.get(node)?.podCidrs ?? [];
      return this.#kept(
        node,
        podCidrs.map((prefix) => ({ prefix, isConfirmed: true })),
      );
    }
    if (this.#affinities !== sources.affinities) {
      this.#affinities = sources.affinities;
      const found = new Map<string, NodeBlock[]>();
      for (const { spec } of sources.affinities.objects.values()) {
        const prefix = tryParsePrefix(spec.cidr);
        if (prefix === undefined || spec.state === "pending" || spec.deleted === true) continue;
        if ((spec.type || "host") !== "host") continue;
        const block = { prefix, isConfirmed: spec.state !== "pendingDeletion" };
        const known = found.get(spec.node);
        if (known === undefined) found.set(spec.node, [block]);
        else known.push(block);
      }
      for (const name of this.#blocks.keys()) if (!found.has(name)) this.#blocks.delete(name);
      for (const [name, blocks] of found) this.#kept(name, blocks);
    }
    return this.#blocks.get(node) ?? NO_BLOCKS;
  }

  #kept(node: string, blocks: readonly NodeBlock[]): readonly NodeBlock[] {
    const known = this.#blocks.get(node);
    const isSame =
      known?.length === blocks.length &&
      known.every((b, i) => {
        const other = blocks[i] as NodeBlock;
        return b.isConfirmed === other.isConfirmed && b.prefix.equals(other.prefix);
      });
    if (known !== undefined && isSame) return known;
    this.#blocks.set(node, blocks);
    return blocks;
  }
}
