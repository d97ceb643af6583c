// Brings up one cluster and prints what it cost, as JSON: `node --expose-gc bring-up.ts NODES PODS SERVICES`.
// A process of its own, so that no other cluster's garbage counts.
import { makeCluster } from "./cluster.ts";
import { cpuSeconds, liveBytes } from "./measure.ts";

/** What one bring-up cost. */
export interface BringUp {
  readonly nodes: number;
  readonly pods: number;
  /** CPU seconds for everything: objects, controllers, kubelets, CNI, flanneld, kube-proxy. */
  readonly cpuSeconds: number;
  /** Bytes of all state: API objects, kernels, agents. */
  readonly bytes: number;
}

const [nodes = 10, podsPerNode = 10, services = 0] = process.argv.slice(2).map(Number);
// A small one first, so that the compiler's warming up counts for no size.
if (nodes > 10) makeCluster({ nodes: 10, podsPerNode: 10, services: 10 });
const before = liveBytes();
let cluster: unknown;
const seconds = cpuSeconds(() => {
  cluster = makeCluster({ nodes, podsPerNode, services });
});
const bytes = liveBytes() - before;
if (cluster === undefined) throw new Error("no cluster");
const result: BringUp = { nodes, pods: nodes * podsPerNode, cpuSeconds: seconds, bytes };
console.log(JSON.stringify(result));
