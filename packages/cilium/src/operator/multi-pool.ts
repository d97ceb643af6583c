import {
  type ClusterContext,
  type ClusterController,
  inNaturalOrder,
  type Timer,
} from "@cnilab/core";
import { type IpFamily, type Prefix, tryParsePrefix } from "@cnilab/net";
import { Subscription } from "rxjs";
import { ALPHA_VERSION, GROUP } from "../api/kinds.ts";
import type { CiliumNode } from "../api/v2/node.ts";
import type { CiliumPodIPPool, PoolFamily } from "../api/v2/pod-ip-pool.ts";
import { AddressRange } from "../ipam/address-range.ts";
import type { AgentConfig, PoolRanges } from "../options/agent-config.ts";
import { withOperatorError } from "./operator-error.ts";
import { RangeSet } from "./range-set.ts";

/** A pool as the operator has it. */
interface Pool {
  readonly sets: Readonly<Record<IpFamily, readonly RangeSet[]>>;
}

/**
 * The operator's part in IPAM mode multi-pool: parts of CiliumPodIPPools for CiliumNodes that ask for addresses (pkg/ipam/allocator/multipool). A node gives
 * back what it no longer lists.
 */
export class MultiPoolOperator implements ClusterController {
  readonly name = "cilium-operator";
  readonly #cluster: ClusterContext;
  readonly #config: AgentConfig;
  readonly #pools = new Map<string, Pool>();
  /** Ranges of nodes, by node and pool. */
  readonly #held = new Map<string, Map<string, Prefix[]>>();
  readonly #changed = new Set<string>();
  #subscription: Subscription | undefined;
  #due: Timer | undefined;

  constructor(cluster: ClusterContext, config: AgentConfig) {
    this.#cluster = cluster;
    this.#config = config;
  }

  start(): void {
    const { api } = this.#cluster;
    this.#subscription = new Subscription();
    this.#autoCreate();
    this.#subscription.add(
      api.watch("CiliumPodIPPool.cilium.io").subscribe(({ type, object }) => {
        if (type === "DELETED") this.#pools.delete(object.metadata.name);
        else this.#upsertPool(object);
        for (const node of api.list("CiliumNode.cilium.io")) this.#schedule(node.metadata.name);
      }),
    );
    this.#subscription.add(
      api.watch("CiliumNode.cilium.io").subscribe(({ type, object }) => {
        const { name } = object.metadata;
        if (type === "DELETED") this.#release(name);
        else this.#schedule(name);
      }),
    );
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#due?.cancel();
    this.#due = undefined;
  }

  /** `auto-create-cilium-pod-ip-pools`: those that are not there yet. */
  #autoCreate(): void {
    const { api } = this.#cluster;
    for (const [name, families] of this.#config.ipam.autoCreatePools) {
      if (api.get("CiliumPodIPPool.cilium.io", name) !== undefined) continue;
      const of = (ranges: PoolRanges | undefined): PoolFamily | undefined =>
        ranges && { cidrs: ranges.cidrs.map(String), maskSize: ranges.maskSize };
      const ipv4 = of(families[4]);
      const ipv6 = of(families[6]);
      api.create<"CiliumPodIPPool.cilium.io">({
        apiVersion: `${GROUP}/${ALPHA_VERSION}`,
        kind: "CiliumPodIPPool",
        metadata: { name },
        spec: { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) },
      });
    }
  }

  #upsertPool({ metadata, spec }: CiliumPodIPPool): void {
    const before = this.#pools.get(metadata.name);
    const sets = (family: IpFamily, given: PoolFamily | undefined): RangeSet[] =>
      (given?.cidrs ?? [])
        .map(tryParsePrefix)
        .filter((cidr) => cidr !== undefined)
        .map(
          (cidr) =>
            before?.sets[family].find(({ whole }) => whole.equals(cidr)) ??
            new RangeSet(cidr, given?.maskSize ?? cidr.length),
        );
    this.#pools.set(metadata.name, { sets: { 4: sets(4, spec.ipv4), 6: sets(6, spec.ipv6) } });
  }

  #schedule(node: string): void {
    this.#changed.add(node);
    this.#due ??= this.#cluster.clock.schedule(0, () => {
      this.#due = undefined;
      const nodes = [...this.#changed].sort(inNaturalOrder);
      this.#changed.clear();
      const objects = nodes
        .map((name) => this.#cluster.api.get("CiliumNode.cilium.io", name))
        .filter((node) => node !== undefined);
      // What nodes have is theirs before any of them gets more.
      for (const object of objects) this.#occupy(object);
      for (const object of objects) this.#allocate(object);
    });
  }

  #occupy({ metadata, spec }: CiliumNode): void {
    const held = new Map<string, Prefix[]>();
    for (const { pool, cidrs = [] } of spec.ipam?.pools?.allocated ?? []) {
      const prefixes = cidrs.map(tryParsePrefix).filter((p) => p !== undefined);
      for (const prefix of prefixes) this.#setOf(pool, prefix)?.take(prefix);
      held.set(pool, prefixes);
    }
    for (const [pool, before] of this.#held.get(metadata.name) ?? []) {
      const now = held.get(pool) ?? [];
      for (const prefix of before) {
        if (!now.some((p) => p.equals(prefix))) this.#setOf(pool, prefix)?.release(prefix);
      }
    }
    this.#held.set(metadata.name, held);
  }

  #allocate({ metadata: { name }, spec }: CiliumNode): void {
    const held = this.#held.get(name) ?? new Map<string, Prefix[]>();
    const errors: string[] = [];
    let changed = false;
    for (const { pool, needed } of spec.ipam?.pools?.requested ?? []) {
      for (const family of this.#config.families) {
        const wanted = needed?.[`ipv${family}-addrs`] ?? 0;
        const own = (held.get(pool) ?? []).filter((p) => p.family === family);
        let missing = wanted - own.reduce((sum, prefix) => sum + addressesOf(prefix), 0);
        while (missing > 0) {
          const next = this.#next(pool, family);
          if (typeof next === "string") {
            errors.push(
              `failed to allocate ipv${family} address for node "${name}" from pool "${pool}": ${next}`,
            );
            break;
          }
          missing -= addressesOf(next);
          held.set(pool, [...(held.get(pool) ?? []), next]);
          changed = true;
        }
      }
    }
    this.#held.set(name, held);
    this.#write(name, changed ? held : undefined, errors.join("\n"));
  }

  #next(pool: string, family: IpFamily): Prefix | string {
    const there = this.#pools.get(pool);
    if (there === undefined) return `cannot allocate from non-existing pool: ${pool}`;
    for (const set of there.sets[family]) {
      const range = set.allocateNext();
      if (range !== undefined) return range;
    }
    return "pool empty";
  }

  #write(
    name: string,
    held: ReadonlyMap<string, readonly Prefix[]> | undefined,
    error: string,
  ): void {
    this.#cluster.api.update("CiliumNode.cilium.io", name, (node) => {
      const told = withOperatorError(node, error === "" ? undefined : error);
      if (held === undefined) return told;
      const allocated = [...held]
        .filter(([, prefixes]) => prefixes.length > 0)
        .sort(([x], [y]) => (x < y ? -1 : 1))
        .map(([pool, prefixes]) => ({ pool, cidrs: prefixes.map(String).sort() }));
      const ipam = { ...node.spec.ipam, pools: { ...node.spec.ipam?.pools, allocated } };
      return { ...told, spec: { ...node.spec, ipam } };
    });
  }

  #release(node: string): void {
    this.#changed.delete(node);
    for (const [pool, prefixes] of this.#held.get(node) ?? []) {
      for (const prefix of prefixes) this.#setOf(pool, prefix)?.release(prefix);
    }
    this.#held.delete(node);
  }

  #setOf(pool: string, prefix: Prefix): RangeSet | undefined {
    const sets = this.#pools.get(pool)?.sets[prefix.family] ?? [];
    return sets.find(({ whole }) => whole.covers(prefix));
  }
}

/** Addresses that a node can give of a range. */
function addressesOf(prefix: Prefix): number {
  return AddressRange.capacityOf(prefix);
}
