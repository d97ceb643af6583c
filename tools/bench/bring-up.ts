// Brings up one cluster and prints what it cost, as JSON: `node --expose-gc bring-up.ts NODES PODS SERVICES`.
// A process of its own, so that no other cluster's garbage counts.
import { makeCluster } from "./cluster.ts";
import { cpuSeconds, liveBytes } from "./measure.ts";

/** What bringing up a cluster cost. */
export interface BringUp {
  readonly nodes: number;
  readonly pods: number;
  /** CPU seconds for everything: objects, controllers, kubelets, CNI, flanneld, kube-proxy; the best of all rounds. */
  readonly cpuSeconds: number;
  /** CPU seconds of the first round, which the compiler's work is part of. */
  readonly firstCpuSeconds: number;
  /** Bytes of all state: API objects, kernels, agents. */
  readonly bytes: number;
}

const ROUNDS = 3;

const [nodes = 10, podsPerNode = 10, services = 0] = process.argv.slice(2).map(Number);
// A small one first: what the program itself keeps is no pod's.
makeCluster({ nodes: 10, podsPerNode: 10, services: 10 });
const before = liveBytes();
let cluster: unknown;
const rounds: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  cluster = undefined;
  liveBytes(); // the last round's garbage is not this one's
  rounds.push(
    cpuSeconds(() => {
      cluster = makeCluster({ nodes, podsPerNode, services });
    }),
  );
}
const bytes = liveBytes() - before;
if (cluster === undefined) throw new Error("no cluster");
const result: BringUp = {
  nodes,
  pods: nodes * podsPerNode,
  cpuSeconds: Math.min(...rounds),
  firstCpuSeconds: rounds[0] as number,
  bytes,
};
console.log(JSON.stringify(result));
