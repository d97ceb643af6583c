import type { Node, Snapshot } from "@cnilab/core";
import type { IPPool } from "../api/v3/ip-pool.ts";
import type { IPAMBlock } from "../api/v3/ipam.ts";
import { type BlockRoute, blockRoutes, sameBlockRoutes } from "../calc/l3-routes/block-routes.ts";
import { L3Routes } from "../calc/l3-routes/l3-routes.ts";
import { type NodeFacts, nodeFacts } from "../calc/l3-routes/node-facts.ts";
import { type PoolFacts, poolFacts } from "../calc/l3-routes/pool-facts.ts";

/** One state of the API, as far as routes follow from it. */
export interface RouteSources {
  readonly nodes: Snapshot<Node>;
  readonly pools: Snapshot<IPPool>;
  readonly blocks: Snapshot<IPAMBlock>;
}

/**
 * Who has which addresses, worked out once for all nodes of a cluster: the API hands the same snapshots to everybody. What says the
 * same as before is the same object, so that whoever has seen it has nothing to do.
 */
export class ClusterRoutes {
  readonly #usePodCidr: boolean;
  #sources: RouteSources | undefined;
  #routes: L3Routes | undefined;
  #nodes: readonly NodeFacts[] = [];
  #pools: readonly PoolFacts[] = [];
  #blocks: readonly (readonly BlockRoute[])[] = [];
  readonly #factsOf = new WeakMap<Node, NodeFacts>();
  readonly #lastFacts = new Map<string, NodeFacts>();
  readonly #lastBlocks = new Map<string, readonly BlockRoute[]>();
  readonly #lastPools = new Map<string, { readonly pool: IPPool; readonly facts: PoolFacts }>();

  /** @param usePodCidr with host-local IPAM, nodes' ranges are their blocks */
  constructor(usePodCidr: boolean) {
    this.#usePodCidr = usePodCidr;
  }

  at(sources: RouteSources): L3Routes {
    const last = this.#sources;
    if (
      this.#routes !== undefined &&
      last?.nodes === sources.nodes &&
      last.pools === sources.pools &&
      last.blocks === sources.blocks
    ) {
      return this.#routes;
    }
    this.#sources = sources;
    const nodes = [...sources.nodes.objects.values()].map((node) => this.#factsOfNode(node));
    const pools = [...sources.pools.objects.values()]
      .map((pool) => this.#factsOfPool(pool))
      .filter((pool) => pool !== undefined);
    const blocks = this.#usePodCidr
      ? nodes.map((node) => this.#keptBlock(node.name, podCidrRoutes(node)))
      : [...sources.blocks.objects.values()].map((block) =>
          this.#keptBlock(block.spec.cidr, blockRoutes(block)),
        );
    const changed =
      !sameElements(nodes, this.#nodes) ||
      !sameElements(pools, this.#pools) ||
      !sameElements(blocks, this.#blocks);
    if (this.#routes === undefined || changed) {
      this.#nodes = nodes;
      this.#pools = pools;
      this.#blocks = blocks;
      this.#routes = new L3Routes(nodes, pools, blocks);
    }
    return this.#routes;
  }

  #factsOfNode(node: Node): NodeFacts {
    let facts = this.#factsOf.get(node);
    if (facts === undefined) {
      facts = nodeFacts(node, this.#usePodCidr);
      const last = this.#lastFacts.get(facts.name);
      if (last !== undefined && sameFacts(last, facts)) facts = last;
      this.#lastFacts.set(facts.name, facts);
      this.#factsOf.set(node, facts);
    }
    return facts;
  }

  #factsOfPool(pool: IPPool): PoolFacts | undefined {
    const last = this.#lastPools.get(pool.metadata.name);
    if (last?.pool === pool) return last.facts;
    const facts = poolFacts(pool);
    if (facts !== undefined) this.#lastPools.set(pool.metadata.name, { pool, facts });
    return facts;
  }

  #keptBlock(key: string, routes: readonly BlockRoute[]): readonly BlockRoute[] {
    const last = this.#lastBlocks.get(key);
    if (last !== undefined && sameBlockRoutes(last, routes)) return last;
    this.#lastBlocks.set(key, routes);
    return routes;
  }
}

/** `libcalico-go/lib/backend/syncersv1/updateprocessors/felixnodeprocessor.go` with usePodCIDR. */
function podCidrRoutes({ name, podCidrs }: NodeFacts): BlockRoute[] {
  return podCidrs.map((dst) => ({ dst, node: name }));
}

function sameElements(x: readonly unknown[], y: readonly unknown[]): boolean {
  return x.length === y.length && x.every((element, i) => element === y[i]);
}

/** Statuses and heartbeats change nodes all the time. */
function sameFacts(x: NodeFacts, y: NodeFacts): boolean {
  return factsText(x) === factsText(y);
}

function factsText(facts: NodeFacts): string {
  return JSON.stringify(facts, (_, value) => (hasText(value) ? String(value) : value));
}

/** Prefixes and IPv6 addresses. */
function hasText(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.getPrototypeOf(value) !== Object.prototype
  );
}
