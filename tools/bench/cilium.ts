// Brings up one cluster on Cilium and prints what it cost, as JSON: `node --expose-gc cilium.ts NODES PODS SERVICES IDENTITIES`. A process of
// its own, as bring-up.ts.
import { cilium } from "@cnilab/cilium";
import type { Cluster } from "@cnilab/cluster";
import type { KubeObject, Pod } from "@cnilab/core";
import { makeCluster } from "./cluster.ts";
import { cpuSeconds, liveBytes } from "./measure.ts";

/** What a cluster on Cilium cost; CPU seconds for all nodes together. */
export interface CiliumBench {
  readonly nodes: number;
  readonly pods: number;
  /** Security identities: pods of equal labels have one. */
  readonly identities: number;
  /** Objects, controllers, operator, agents, endpoints, identities, policies, Services. */
  readonly bringUp: number;
  readonly bytes: number;
  /** From a change of objects until all nodes have programmed what it comes to; the mean of several. */
  readonly changes: Readonly<Record<Change, number>>;
}

/** A rule of a policy for all pods; a pod that gets labels nobody had before; a policy for pods of three nodes. */
type Change = "rule" | "identity" | "few";

const TIMES = 5;
const GROUPS = 100;

const [nodes = 10, podsPerNode = 10, services = nodes, identities = nodes] = process.argv
  .slice(2)
  .map(Number);
bringUp(10, 10, 10, 10);
const before = liveBytes();
let cluster = bringUp(10, 10, 10, 10);
const bringUpSeconds = cpuSeconds(() => {
  cluster = bringUp(nodes, podsPerNode, services, identities);
});
const bytes = liveBytes() - before;
const changes = {
  rule: mean((i) => cluster.apply([forAll(9000 + i)])),
  identity: mean((i) =>
    cluster.api.update("Pod", `default/pod-${i + 1}-1`, (pod: Pod) => labelled(pod, i)),
  ),
  few: mean((i) => cluster.apply([forGroup(0, 9000 + i)])),
};
const result: CiliumBench = {
  nodes,
  pods: nodes * podsPerNode,
  identities: cluster.api.list("CiliumIdentity.cilium.io").length,
  bringUp: bringUpSeconds,
  bytes,
  changes,
};
console.log(JSON.stringify(result));

function bringUp(ofNodes: number, pods: number, count: number, distinct: number): Cluster {
  return makeCluster(
    { nodes: ofNodes, podsPerNode: pods, services: count },
    {
      cni: cilium,
      cniOptions: { kubeProxyReplacement: true },
      withoutKubeProxy: true,
      // Pods of a group have equal labels, and so one identity.
      labelsOf: (node, pod) => ({
        group: `g${Math.floor((pod * ofNodes + node - 1) / 3) % distinct}`,
      }),
      more: [forAll(8999), ...Array.from({ length: GROUPS }, (_, i) => forGroup(i, 8999))],
    },
  );
}

function mean(change: (i: number) => void): number {
  cluster.settle();
  liveBytes(); // garbage of what came before
  const seconds = cpuSeconds(() => {
    for (let i = 0; i < TIMES; i++) {
      change(i);
      cluster.settle();
    }
  });
  return seconds / TIMES;
}

/** Every pod from every pod. */
function forAll(port: number): KubeObject {
  return policy("everybody", { app: "bench" }, { app: "bench" }, port);
}

function forGroup(group: number, port: number): KubeObject {
  return policy(`group-${group}`, { group: `g${group}` }, { group: `g${group + 1}` }, port);
}

function policy(
  name: string,
  to: Readonly<Record<string, string>>,
  from: Readonly<Record<string, string>>,
  port: number,
): KubeObject {
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name, namespace: "default" },
    spec: {
      endpointSelector: { matchLabels: to },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: from }],
          toPorts: [{ ports: [{ port: String(port), protocol: "TCP" }] }],
        },
      ],
    },
  } as unknown as KubeObject;
}

function labelled(pod: Pod, i: number): Pod {
  const labels = { ...pod.metadata.labels, group: `new-${i}` };
  return { ...pod, metadata: { ...pod.metadata, labels } };
}
