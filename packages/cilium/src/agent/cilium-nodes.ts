import type { Subscription } from "rxjs";
import type { CiliumNode } from "../api/v2/node.ts";
import type { ClusterCilium } from "./cluster-cilium.ts";

type NodeListener = (node: CiliumNode | undefined) => void;

/**
 * The CiliumNodes of a cluster, watched once for all agents: a thousand agents that each look at each change of each of a thousand nodes
 * would be a million calls.
 */
export class CiliumNodes {
  readonly #cluster: ClusterCilium;
  readonly #nodes = new Map<string, CiliumNode>();
  readonly #ofName = new Map<string, Set<NodeListener>>();
  readonly #ofAll = new Set<() => void>();
  #subscription: Subscription | undefined;
  #version = 0;

  constructor(cluster: ClusterCilium) {
    this.#cluster = cluster;
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  get all(): ReadonlyMap<string, CiliumNode> {
    this.#start();
    return this.#nodes;
  }

  get(name: string): CiliumNode | undefined {
    return this.all.get(name);
  }

  /** Hears of one node, now and at each change. @returns what ends that */
  listenTo(name: string, listener: NodeListener): () => void {
    this.#start();
    let listeners = this.#ofName.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#ofName.set(name, listeners);
    }
    listeners.add(listener);
    listener(this.#nodes.get(name));
    return () => listeners.delete(listener);
  }

  /** Told, in the moment, that some node has changed. @returns what ends that */
  listen(listener: () => void): () => void {
    this.#start();
    this.#ofAll.add(listener);
    return () => this.#ofAll.delete(listener);
  }

  #start(): void {
    this.#subscription ??= this.#cluster.api
      .watch("CiliumNode.cilium.io")
      .subscribe(({ type, object }) => {
        const { name } = object.metadata;
        this.#version++;
        if (type === "DELETED") this.#nodes.delete(name);
        else this.#nodes.set(name, object);
        const now = this.#nodes.get(name);
        for (const listener of [...(this.#ofName.get(name) ?? [])]) listener(now);
        for (const listener of this.#ofAll) listener();
      });
  }
}
