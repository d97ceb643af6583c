import {
  type ApiClient,
  type Clock,
  type ClusterConfig,
  type Node,
  objectKey,
  type Taint,
} from "@cnilab/core";
import { type IpFamily, type Prefix, tryParsePrefix } from "@cnilab/net";
import type { Subscription } from "rxjs";
import { EventRecorder } from "../api/event-recorder.ts";
import { WorkQueue } from "./work-queue.ts";

/** What keeps pods away from a node without a pod range. */
export const NETWORK_UNAVAILABLE: Taint = {
  key: "node.kubernetes.io/network-unavailable",
  effect: "NoSchedule",
};

/** The node ranges of one cluster CIDR, the first free one first (pkg/controller/nodeipam/ipam/cidrset). */
class CidrSet {
  readonly cluster: Prefix;
  readonly #nodeLength: number;
  readonly #taken = new Set<string>();
  #next = 0;

  constructor(cluster: Prefix, nodeLength: number) {
    this.cluster = cluster;
    this.#nodeLength = nodeLength;
  }

  get #count(): number {
    return Number(1n << BigInt(Math.min(53, Math.max(0, this.#nodeLength - this.cluster.length))));
  }

  allocate(): Prefix | undefined {
    for (; this.#next < this.#count; this.#next++) {
      const range = this.cluster.subnet(this.#next, this.#nodeLength);
      if (this.#taken.has(range.toString())) continue;
      this.#taken.add(range.toString());
      return range;
    }
    return undefined;
  }

  take(range: Prefix): void {
    this.#taken.add(range.toString());
  }

  release(range: Prefix): void {
    if (!this.#taken.delete(range.toString())) return;
    this.#next = 0; // the search starts anew, as the first free range is the one to give
  }
}

/** Gives each node a range of pod addresses (kube-controller-manager, `--allocate-node-cidrs`). */
export class NodeIpamController {
  readonly #api: ApiClient;
  readonly #events: EventRecorder;
  readonly #queue: WorkQueue<string>;
  readonly #sets: readonly CidrSet[];
  /** Nodes that wait for a range. */
  readonly #waiting = new Set<string>();

  constructor(api: ApiClient, clock: Clock, config: ClusterConfig) {
    this.#api = api;
    this.#events = new EventRecorder(api, clock, "cidrAllocator");
    this.#queue = new WorkQueue(clock, (name) => this.#reconcile(name));
    this.#sets = config.ipFamilies.flatMap((family: IpFamily) =>
      config.clusterCidrs
        .filter((cidr) => cidr.family === family)
        .map((cidr) => new CidrSet(cidr, config.nodeCidrMaskSize[family])),
    );
  }

  start(): Subscription {
    return this.#api.watch("Node").subscribe(({ type, object }) => {
      const name = objectKey(object);
      if (type === "DELETED") {
        this.#waiting.delete(name);
        for (const range of podCidrsOf(object)) this.#setOf(range)?.release(range);
        for (const other of this.#waiting) this.#queue.add(other);
        return;
      }
      if (type !== "ADDED") return;
      const given = podCidrsOf(object);
      for (const range of given) this.#setOf(range)?.take(range);
      if (given.length === 0) this.#queue.add(name);
    });
  }

  #setOf(range: Prefix): CidrSet | undefined {
    return this.#sets.find(({ cluster }) => cluster.covers(range));
  }

  #reconcile(name: string): void {
    const node = this.#api.get("Node", name);
    if (node === undefined || podCidrsOf(node).length > 0) return;
    const ranges: Prefix[] = [];
    for (const set of this.#sets) {
      const range = set.allocate();
      if (range !== undefined) {
        ranges.push(range);
        continue;
      }
      for (const taken of ranges) this.#setOf(taken)?.release(taken);
      this.#exhausted(node, set.cluster);
      return;
    }
    this.#waiting.delete(name);
    const texts = ranges.map(String);
    if (texts.length === 0) return;
    this.#api.update("Node", name, (n) => ({
      ...n,
      spec: { ...withTaint(n.spec, false), podCIDR: texts[0] as string, podCIDRs: texts },
    }));
  }

  #exhausted(node: Node, cluster: Prefix): void {
    const name = objectKey(node);
    if (this.#waiting.has(name)) return;
    this.#waiting.add(name);
    this.#events.record(
      node,
      "Warning",
      "CIDRNotAvailable",
      `Node ${name} status is now: CIDRNotAvailable: no pod range is left in ${cluster}`,
    );
    this.#api.update("Node", name, (n) => ({ ...n, spec: withTaint(n.spec, true) }));
  }
}

export function podCidrsOf(node: Node): Prefix[] {
  const { podCIDR, podCIDRs } = node.spec ?? {};
  const texts = podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
  return texts.map(tryParsePrefix).filter((p): p is Prefix => p !== undefined);
}

function withTaint(spec: Node["spec"], unavailable: boolean): NonNullable<Node["spec"]> {
  const others = (spec?.taints ?? []).filter(({ key }) => key !== NETWORK_UNAVAILABLE.key);
  const taints = unavailable ? [...others, NETWORK_UNAVAILABLE] : others;
  const { taints: _, ...rest } = spec ?? {};
  return taints.length === 0 ? rest : { ...rest, taints };
}
