// What the first packet of a connection to a Service costs on Cilium, as JSON: `node cilium-path.ts SERVICES socket|packet`. A process of its
// own, as path.ts.
import { cilium } from "@cnilab/cilium";
import { UdpSocket } from "@cnilab/linux";
import { Data } from "@cnilab/net";
import { clusterIpOf, makeCluster, netnsOf } from "./cluster.ts";
import { cpuSeconds } from "./measure.ts";

/** First packets to the last of all Services. */
export interface CiliumPath {
  readonly services: number;
  /** Where Services are translated: at the socket, or packet by packet in the pod's program. */
  readonly at: "socket" | "packet";
  /** Look-ups in eBPF maps on both nodes, for one packet. */
  readonly lookups: number;
  /** CPU seconds for 1,000 of them; the best of several rounds. */
  readonly cpuSeconds: number;
}

const CONNECTIONS = 1000;
const PAYLOAD = new Data(64);

const [services = 10, at = "socket"] = process.argv.slice(2);
const cluster = makeCluster(
  { nodes: 3, podsPerNode: 10, services: Number(services) },
  {
    cni: cilium,
    cniOptions: {
      kubeProxyReplacement: true,
      "socketLB.hostNamespaceOnly": at === "packet",
      // 65,536 by default: room for some 3,000 Services.
      "bpf.lbMapMax": 262_144,
    },
    withoutKubeProxy: true,
  },
);
const netns = netnsOf(cluster, "pod-1-0");
const dst = clusterIpOf(cluster, `service-${Number(services) - 1}`);
const kernels = [...cluster.nodes.values()].map(({ kernel }) => kernel);
for (const kernel of kernels) {
  for (const each of kernel.namespaces) new UdpSocket(each, { owner: "sink", localPort: 8080 });
}

let best = Number.POSITIVE_INFINITY;
let lookups = 0;
for (let round = 0; round < 10; round++) {
  const before = countLookups();
  const seconds = cpuSeconds(() => {
    for (let i = 0; i < CONNECTIONS; i++) {
      // Never the same port twice: what connection tracking knows is no first packet.
      const localPort = 10_000 + ((round * CONNECTIONS + i) % 50_000);
      const socket = new UdpSocket(netns, { owner: "bench", localPort });
      socket.sendTo(dst, 80, PAYLOAD, {});
      socket.close();
    }
  });
  lookups = (countLookups() - before) / CONNECTIONS;
  best = Math.min(best, seconds);
}
const result: CiliumPath = {
  services: Number(services),
  at: at as CiliumPath["at"],
  lookups,
  cpuSeconds: best,
};
console.log(JSON.stringify(result));

function countLookups(): number {
  return kernels.reduce((sum, { bpf }) => sum + bpf.lookups, 0);
}
