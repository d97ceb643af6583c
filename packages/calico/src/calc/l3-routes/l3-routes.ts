import { type IpAddress, type IpFamily, LpmTable, Prefix } from "@cnilab/net";
import type { TunnelType } from "../messages.ts";
import type { BlockRoute } from "./block-routes.ts";
import type { NodeFacts } from "./node-facts.ts";
import type { PoolFacts } from "./pool-facts.ts";

/** A destination, and what all nodes know about it; what of it is a node's own, each sees by the names. */
export interface L3Route {
  readonly dst: Prefix;
  /** The innermost pool around it that says something. */
  readonly pool: PoolFacts | undefined;
  readonly natOutgoing: boolean;
  /** Whether a pool around it wants no tunnel within a subnet. */
  readonly crossSubnet: boolean;
  /** Who has it. */
  readonly node: string | undefined;
  readonly nodeAddress: IpAddress | undefined;
  /** Nodes of the blocks that it is in, which makes it a workload's; several where it is borrowed. */
  readonly workloadNodes: readonly string[];
  /** Whose own address it is. */
  readonly host: string | undefined;
  /** Whose tunnels' address it is. */
  readonly tunnelNode: string | undefined;
  readonly tunnelType: TunnelType | undefined;
  readonly borrowed: boolean;
  /** Whether a pod of {@link node} has it. */
  readonly hasWorkload: boolean;
}

/** What puts an address on a node, in the order in which one of several is believed (`RefType`). */
const REF_TYPES = ["workload", "wireguard", "ipip", "vxlan"] as const;
type RefType = (typeof REF_TYPES)[number];

interface Ref {
  readonly node: string;
  readonly type: RefType;
}

/** What is known about exactly one prefix (`RouteInfo`). */
class PrefixInfo {
  readonly prefix: Prefix;
  pool: PoolFacts | undefined = undefined;
  block: string | undefined = undefined;
  hosts: string[] = [];
  refs: Ref[] = [];

  constructor(prefix: Prefix) {
    this.prefix = prefix;
  }
}

/** A pod on a node. */
export interface WorkloadRoute {
  readonly dst: Prefix;
  readonly node: string;
}

/**
 * Who has which addresses: pools, blocks, nodes, tunnels, and the longest prefix decides (`felix/calc/l3_route_resolver.go`). Made once
 * for all nodes out of one state of the API. Immutable.
 */
export class L3Routes {
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly pools: readonly PoolFacts[];
  readonly #infos: Readonly<Record<IpFamily, LpmTable<PrefixInfo>>> = {
    4: new LpmTable(),
    6: new LpmTable(),
  };
  #routes: readonly L3Route[] | undefined;
  #ofNode: Map<string, readonly L3Route[]> | undefined;

  constructor(
    nodes: Iterable<NodeFacts>,
    pools: Iterable<PoolFacts>,
    blocks: Iterable<readonly BlockRoute[]>,
  ) {
    this.nodes = new Map([...nodes].map((node) => [node.name, node]));
    this.pools = [...pools];
    for (const pool of this.pools) this.#info(pool.cidr).pool = pool;
    for (const routes of blocks) for (const { dst, node } of routes) this.#info(dst).block = node;
    for (const node of this.nodes.values()) this.#addNode(node);
  }

  #addNode(node: NodeFacts): void {
    for (const address of node.addresses) this.#info(Prefix.host(address)).hosts.push(node.name);
    const ref = (address: IpAddress | undefined, type: RefType) => {
      if (address === undefined) return;
      this.#info(Prefix.host(address)).refs.push({ node: node.name, type });
    };
    // Without an address of its own it is no node to route to.
    if (node[4].address === undefined && node[6].address === undefined) return;
    ref(node.ipipAddress, "ipip");
    for (const family of [4, 6] as const) {
      ref(node[family].vxlanAddress, "vxlan");
      ref(node[family].wireguardAddress, "wireguard");
    }
  }

  #info(prefix: Prefix): PrefixInfo {
    const table = this.#infos[prefix.family];
    let info = table.get(prefix);
    if (info === undefined) {
      info = new PrefixInfo(prefix);
      table.set(prefix, info);
    }
    return info;
  }

  /** All there are but pods' own, by address. */
  get routes(): readonly L3Route[] {
    this.#routes ??= ([4, 6] as const).flatMap((family) =>
      [...this.#infos[family]].map(([prefix, info]) => this.#resolve(prefix, info)),
    );
    return this.#routes;
  }

  /** Those that a node has, block by block. */
  routesOf(node: string): readonly L3Route[] {
    if (this.#ofNode === undefined) {
      const byNode = new Map<string, L3Route[]>();
      for (const route of this.routes) {
        if (route.node === undefined) continue;
        const there = byNode.get(route.node);
        if (there === undefined) byNode.set(route.node, [route]);
        else there.push(route);
      }
      this.#ofNode = byNode;
    }
    return this.#ofNode.get(node) ?? [];
  }

  /** The route to an address that a pod has. */
  workload({ dst, node }: WorkloadRoute): L3Route {
    const info = new PrefixInfo(dst);
    const there = this.#infos[dst.family].get(dst);
    info.pool = there?.pool;
    info.block = there?.block;
    info.hosts = there?.hosts ?? [];
    info.refs = [...(there?.refs ?? []), { node, type: "workload" }];
    return this.#resolve(dst, info);
  }

  /** From the widest prefix around it to itself (flush). */
  #resolve(dst: Prefix, own: PrefixInfo): L3Route {
    let pool: PoolFacts | undefined;
    let natOutgoing = false;
    let crossSubnet = false;
    let node: string | undefined;
    let firstBlock: string | undefined;
    const blocks: string[] = [];
    let borrowed = false;
    let host: string | undefined;
    for (const info of this.#path(dst, own)) {
      if (info.pool !== undefined) {
        if (info.pool.type !== "NONE" || pool === undefined) pool = info.pool;
        natOutgoing ||= info.pool.natOutgoing;
        crossSubnet ||= info.pool.crossSubnet;
      }
      if (info.block !== undefined) {
        if (firstBlock !== undefined && firstBlock !== info.block) borrowed = true;
        else firstBlock = info.block;
        node = info.block;
        blocks.push(info.block);
      }
      // Of nodes that share an address the first by name is believed.
      const [first] = info.hosts.length > 1 ? info.hosts.toSorted() : info.hosts;
      if (first !== undefined) {
        node = first;
        host = first;
      }
    }
    const refs = own.refs.length > 1 ? own.refs.toSorted(byNodeAndType) : own.refs;
    const [ref] = refs;
    let tunnelType: TunnelType | undefined;
    let hasWorkload = false;
    if (ref !== undefined) {
      node = ref.node;
      if (firstBlock !== undefined && firstBlock !== node) borrowed = true;
      hasWorkload = ref.type === "workload";
      if (!hasWorkload) tunnelType = tunnelsOf(refs, ref.node);
    }
    // A node's own address is no workload's whatever block it is in; a tunnel's only in a block of one address.
    const isWorkload = host === undefined && (own.block !== undefined || tunnelType === undefined);
    const workloadNodes = isWorkload ? blocks : [];
    if (ref !== undefined && hasWorkload) workloadNodes.push(ref.node);
    const facts = node === undefined ? undefined : this.nodes.get(node);
    return {
      dst,
      pool,
      natOutgoing,
      crossSubnet,
      node,
      nodeAddress: facts?.[dst.family].address,
      workloadNodes,
      host,
      tunnelNode: tunnelType === undefined ? undefined : node,
      tunnelType,
      borrowed,
      hasWorkload,
    };
  }

  /** What is known about the prefixes around `dst`, the widest first, and last about itself. */
  #path(dst: Prefix, own: PrefixInfo): PrefixInfo[] {
    const table = this.#infos[dst.family];
    const path = [own];
    for (let below = dst.length; ; ) {
      const around = table.lookupShorter(dst.address, below);
      if (around === undefined) return path.reverse();
      path.push(around);
      below = around.prefix.length;
    }
  }
}

function byNodeAndType(x: Ref, y: Ref): number {
  if (x.node !== y.node) return x.node < y.node ? -1 : 1;
  return REF_TYPES.indexOf(x.type) - REF_TYPES.indexOf(y.type);
}

/** The tunnels of one node that share an address. */
function tunnelsOf(refs: readonly Ref[], node: string): TunnelType {
  const has = (type: RefType) => refs.some((r) => r.node === node && r.type === type);
  return {
    ...(has("ipip") && { ipip: true }),
    ...(has("vxlan") && { vxlan: true }),
    ...(has("wireguard") && { wireguard: true }),
  };
}
