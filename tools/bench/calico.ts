// Brings up one cluster on Calico, changes policies until every node has programmed them, and prints what it cost, as JSON:
// `node --expose-gc calico.ts NODES PODS ENCAPSULATION BGP DATAPLANE`. A process of its own, as bring-up.ts.
import { calico } from "@cnilab/calico";
import type { Cluster } from "@cnilab/cluster";
import type { KubeObject, NetworkPolicy, Pod } from "@cnilab/core";
import { makeCluster } from "./cluster.ts";
import { cpuSeconds, liveBytes } from "./measure.ts";

/** What a cluster on Calico cost; CPU seconds for all nodes together. */
export interface CalicoBench {
  readonly nodes: number;
  readonly pods: number;
  /** Objects, controllers, IPAM, plugin, routes, the calculation of policies. */
  readonly bringUp: number;
  readonly bytes: number;
  /** Every node programs its policies: what is otherwise put off until somebody looks at the node. */
  readonly programAll: number;
  /** From a change of objects until all nodes have programmed what it comes to; the mean of several. */
  readonly changes: Readonly<Record<Change, number>>;
}

/** A rule of a policy for all pods; a pod that joins a set of all nodes; a policy for pods of three nodes. */
type Change = "rule" | "member" | "few";

const TIMES = 5;
const GROUPS = 100;

const [nodes = 10, podsPerNode = 10] = process.argv.slice(2).map(Number);
const [encapsulation = "VXLAN", bgp = "none", dataplane = "Iptables"] = process.argv.slice(4);
bringUp(10, 10);
const before = liveBytes();
let cluster = bringUp(10, 10);
const bringUpSeconds = cpuSeconds(() => {
  cluster = bringUp(nodes, podsPerNode);
});
const bytes = liveBytes() - before;
const programAllSeconds = cpuSeconds(programAll);
const changes = {
  rule: mean((i) => cluster.apply([forAll(9000 + i)])),
  member: mean((i) =>
    cluster.api.update("Pod", `default/pod-${i + 1}-1`, (pod: Pod) => labelled(pod)),
  ),
  few: mean((i) => cluster.apply([forGroup(0, 9000 + i)])),
};
const result: CalicoBench = {
  nodes,
  pods: nodes * podsPerNode,
  bringUp: bringUpSeconds,
  bytes,
  programAll: programAllSeconds,
  changes,
};
console.log(JSON.stringify(result));

function bringUp(ofNodes: number, pods: number): Cluster {
  return makeCluster(
    { nodes: ofNodes, podsPerNode: pods, services: ofNodes },
    {
      cni: calico,
      cniOptions: { encapsulation, bgp, dataplane },
      more: [
        forEverybody(),
        forAll(8999),
        ...Array.from({ length: GROUPS }, (_, i) => forGroup(i, 8999)),
      ],
    },
  );
}

function programAll(): void {
  for (const { kernel } of cluster.nodes.values()) kernel.initNs.catchUp();
}

function mean(change: (i: number) => void): number {
  // What came before has left garbage, and Felix looks at its rules a second time.
  cluster.settle();
  programAll();
  liveBytes();
  const seconds = cpuSeconds(() => {
    for (let i = 0; i < TIMES; i++) {
      change(i);
      cluster.settle();
      programAll();
    }
  });
  return seconds / TIMES;
}

/** Every pod from every pod: a set of them all on every node. */
function forEverybody(): KubeObject {
  return networkPolicy("everybody", { app: "bench" }, { app: "bench" }, 8080);
}

function forAll(port: number): KubeObject {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: "clients" },
    spec: {
      order: 10,
      selector: "app == 'bench'",
      types: ["Ingress"],
      ingress: [
        {
          action: "Allow",
          protocol: "TCP",
          source: { selector: "role == 'client'" },
          destination: { ports: [port] },
        },
        { action: "Pass" },
      ],
    },
  } as unknown as KubeObject;
}

function forGroup(group: number, port: number): KubeObject {
  return networkPolicy(`group-${group}`, { group: `g${group}` }, { group: `g${group + 1}` }, port);
}

function networkPolicy(
  name: string,
  to: Readonly<Record<string, string>>,
  from: Readonly<Record<string, string>>,
  port: number,
): NetworkPolicy {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "default" },
    spec: {
      podSelector: { matchLabels: to },
      policyTypes: ["Ingress"],
      ingress: [
        { from: [{ podSelector: { matchLabels: from } }], ports: [{ protocol: "TCP", port }] },
      ],
    },
  };
}

function labelled(pod: Pod): Pod {
  const labels = { ...pod.metadata.labels, role: "client" };
  return { ...pod, metadata: { ...pod.metadata, labels } };
}
