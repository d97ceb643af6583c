import {
  type ClusterContext,
  type ClusterController,
  inNaturalOrder,
  type Timer,
} from "@cnilab/core";
import { type IpFamily, type Prefix, tryParsePrefix } from "@cnilab/net";
import { Subscription } from "rxjs";
import type { CiliumNode } from "../api/v2/node.ts";
import type { AgentConfig } from "../options/agent-config.ts";
import { withOperatorError } from "./operator-error.ts";
import { RangeSet } from "./range-set.ts";

/**
 * The operator's part in IPAM mode cluster-pool: a range of each family for each CiliumNode (pkg/ipam/allocator/podcidr). It works on what has come
 * together in a moment, in the order of names, after taking note of ranges that nodes have already.
 */
export class ClusterPoolOperator implements ClusterController {
  readonly name = "cilium-operator";
  readonly #cluster: ClusterContext;
  readonly #families: readonly IpFamily[];
  readonly #sets: ReadonlyMap<IpFamily, readonly RangeSet[]>;
  readonly #ranges = new Map<string, readonly Prefix[]>();
  /** Nodes without ranges. */
  readonly #waiting = new Set<string>();
  #subscription: Subscription | undefined;
  #due: Timer | undefined;

  constructor(cluster: ClusterContext, { families, ipam }: AgentConfig) {
    this.#cluster = cluster;
    this.#families = families;
    this.#sets = new Map(
      families.map((family) => {
        const pool = ipam.clusterPool[family];
        return [family, (pool?.cidrs ?? []).map((cidr) => new RangeSet(cidr, pool?.maskSize ?? 0))];
      }),
    );
  }

  start(): void {
    this.#subscription = new Subscription();
    this.#subscription.add(
      this.#cluster.api.watch("CiliumNode.cilium.io").subscribe(({ type, object }) => {
        if (type === "DELETED") this.#deleted(object.metadata.name);
        else this.#upserted(object);
      }),
    );
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#due?.cancel();
    this.#due = undefined;
  }

  #upserted(node: CiliumNode): void {
    const { name } = node.metadata;
    if (this.#ranges.has(name)) return;
    const own = podCidrsOf(node);
    const problem = own.map((range) => this.#conflict(range)).find((p) => p !== undefined);
    if (problem !== undefined) {
      this.#say(name, problem);
      return;
    }
    if (own.length > 0) {
      for (const range of own) this.#setOf(range)?.take(range);
      this.#ranges.set(name, own);
      if (this.#families.every((f) => own.some((r) => r.family === f))) return;
      this.#ranges.delete(name);
    }
    this.#waiting.add(name);
    this.#schedule();
  }

  /** Why a node cannot have the range that it says it has. */
  #conflict(range: Prefix): string | undefined {
    const set = this.#setOf(range);
    if (set === undefined) return `unable to find an allocator for the requested CIDR ${range}`;
    const holder = [...this.#ranges].find(([, ranges]) => ranges.some((r) => r.overlaps(range)));
    return holder === undefined
      ? undefined
      : `CIDR ${range} is already allocated to node ${holder[0]}`;
  }

  #setOf(range: Prefix): RangeSet | undefined {
    return this.#sets.get(range.family)?.find(({ whole }) => whole.covers(range));
  }

  #deleted(name: string): void {
    this.#waiting.delete(name);
    for (const range of this.#ranges.get(name) ?? []) this.#setOf(range)?.release(range);
    if (this.#ranges.delete(name) && this.#waiting.size > 0) this.#schedule();
  }

  #schedule(): void {
    this.#due ??= this.#cluster.clock.schedule(0, () => {
      this.#due = undefined;
      for (const name of [...this.#waiting].sort(inNaturalOrder)) this.#allocate(name);
    });
  }

  #allocate(name: string): void {
    const node = this.#cluster.api.get("CiliumNode.cilium.io", name);
    if (node === undefined) return;
    const own = podCidrsOf(node);
    const added: Prefix[] = [];
    for (const family of this.#families) {
      if (own.some((range) => range.family === family)) continue;
      const range = this.#next(family);
      if (range !== undefined) {
        added.push(range);
        continue;
      }
      for (const taken of added) this.#setOf(taken)?.release(taken);
      const wholes = (this.#sets.get(family) ?? []).map(({ whole }) => String(whole));
      this.#say(name, `allocator full: no range is left in ${wholes.join(", ")}`);
      return;
    }
    this.#waiting.delete(name);
    const ranges = [...own, ...added];
    this.#ranges.set(name, ranges);
    this.#cluster.api.update("CiliumNode.cilium.io", name, (n) => ({
      ...withOperatorError(n, undefined),
      spec: { ...n.spec, ipam: { ...n.spec.ipam, podCIDRs: ranges.map(String) } },
    }));
  }

  #next(family: IpFamily): Prefix | undefined {
    for (const set of this.#sets.get(family) ?? []) {
      const range = set.allocateNext();
      if (range !== undefined) return range;
    }
    return undefined;
  }

  #say(name: string, error: string): void {
    this.#cluster.api.update("CiliumNode.cilium.io", name, (node) =>
      withOperatorError(node, error),
    );
  }
}

export function podCidrsOf({ spec }: CiliumNode): Prefix[] {
  return (spec.ipam?.podCIDRs ?? []).map(tryParsePrefix).filter((p) => p !== undefined);
}
