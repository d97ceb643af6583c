import type { Cluster, ClusterNode } from "@cnilab/cluster";
import { isAddOn } from "@cnilab/core";
import { kernelState } from "@cnilab/inspect";
import type { StateFinding } from "./finding.ts";

/** What the node with the most pods of the input holds, the first of several; ask before packets have left their traces. */
export function stateFinding({ api, nodes }: Cluster): StateFinding | undefined {
  const pods = new Map<string, number>();
  for (const pod of api.list("Pod")) {
    const { nodeName } = pod.spec;
    if (isAddOn(pod) || nodeName === undefined) continue;
    pods.set(nodeName, (pods.get(nodeName) ?? 0) + 1);
  }
  let busiest: ClusterNode | undefined;
  for (const node of nodes.values()) {
    if (node.kernel.os !== "linux") continue;
    if (busiest === undefined || podsOn(node) > podsOn(busiest)) busiest = node;
  }
  if (busiest === undefined) return undefined;
  return { node: busiest.name, pods: podsOn(busiest), counts: kernelState(busiest.kernel) };

  function podsOn({ name }: ClusterNode): number {
    return pods.get(name) ?? 0;
  }
}
