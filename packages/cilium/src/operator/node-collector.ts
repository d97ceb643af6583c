import type { ClusterContext, ClusterController } from "@cnilab/core";
import type { Subscription } from "rxjs";

/**
 * A CiliumNode goes with the Node that owns it, by Kubernetes' own garbage collector; the operator looks every five minutes for those that
 * were left (operator/cmd/cilium_node.go). Its agent is gone by then.
 */
export class NodeCollector implements ClusterController {
  readonly name = "cilium-node-gc";
  readonly #cluster: ClusterContext;
  #subscription: Subscription | undefined;

  constructor(cluster: ClusterContext) {
    this.#cluster = cluster;
  }

  start(): void {
    const { api } = this.#cluster;
    this.#subscription = api.watch("Node").subscribe(({ type, object: { metadata } }) => {
      if (type !== "DELETED") return;
      const node = api.get("CiliumNode.cilium.io", metadata.name);
      const owner = node?.metadata.ownerReferences?.[0]?.uid;
      if (owner === metadata.uid) api.delete("CiliumNode.cilium.io", metadata.name);
    });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }
}
