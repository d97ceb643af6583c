// How IPVS's schedulers choose where connections last: `npm run schedulers` in this folder.
import { createCluster, parseManifests } from "@cnilab/cluster";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import {
  Dummy,
  Kernel,
  type NetNamespace,
  Network,
  type SchedulerName,
  startEchoServer,
  TcpConnection,
} from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, parseIp } from "@cnilab/net";

const SCHEDULERS: readonly (readonly [SchedulerName, string])[] = [
  ["rr", "in turn"],
  ["wrr", "in turn, by weight"],
  ["lc", "who has the fewest connections"],
  ["wlc", "who has the fewest for its weight"],
  ["sed", "who would have the fewest for its weight, this one counted"],
  ["nq", "one that is idle, else as sed"],
];
/** Names of the real servers by weight: `-w 1` and so on. */
const SERVERS = ["a", "b", "c", "d"];

const MANIFESTS = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`;

console.log("Real servers a, b, c, d of weight 1, 2, 3, 4. Ten connections come and stay open.");
console.log("Then all of d end, and five more come.\n");
for (const [scheduler, chooses] of SCHEDULERS) {
  const machine = balancer(scheduler);
  const first = Array.from({ length: 10 }, () => open(machine));
  for (const { server, connection } of first) if (server === "d") connection.close();
  const more = Array.from({ length: 5 }, () => open(machine));
  const names = [first, more].map((list) => list.map(({ server }) => server).join(" "));
  console.log(`  ${scheduler.padEnd(4)} ${names.join("   ")}   ${chooses}`);
}

console.log(
  "\nkube-proxy in IPVS mode: six connections to a Service with three pods stay open. Then",
);
console.log(
  "there is a fourth pod, and six more connections. In the end the pods have, the new one last:\n",
);
for (const scheduler of ["rr", "lc"] as const) {
  console.log(`  ${scheduler.padEnd(4)} ${(await grown(scheduler)).join(" ")}`);
}

/** A machine with the virtual server 10.96.0.1:80 and four real ones. */
function balancer(scheduler: SchedulerName): NetNamespace {
  const machine = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "machine");
  const { initNs } = machine;
  initNs.loopback.setUp();
  const dev = new Dummy(initNs, { name: "virtual" });
  dev.addAddress(parseIp("10.96.0.1"), 32);
  const lines = [`-A -t 10.96.0.1:80 -s ${scheduler}`];
  for (let weight = SERVERS.length; weight >= 1; weight--) {
    dev.addAddress(parseIp(`10.0.0.${weight}`), 32);
    lines.push(`-a -t 10.96.0.1:80 -r 10.0.0.${weight}:8080 -m -w ${weight}`);
  }
  startEchoServer(initNs, { protocol: IPPROTO_TCP, port: 8080, owner: "server" });
  initNs.ipvs.restore(lines.join("\n"));
  return initNs;
}

/** Opens a connection to the virtual server; tells which real one has it. */
function open(machine: NetNamespace): { server: string; connection: TcpConnection } {
  const connection = connect(machine, "10.96.0.1");
  const entry = machine.ipvs.connections
    .entries()
    .find(({ cport }) => cport === connection.localPort);
  if (entry === undefined) throw new Error("IPVS has not taken the connection");
  return { server: SERVERS[Number(formatIp(entry.daddr).split(".")[3]) - 1] ?? "", connection };
}

function connect(from: NetNamespace, address: string): TcpConnection {
  const connection = TcpConnection.connect(from, { dst: parseIp(address), port: 80, owner: "me" });
  if (!(connection instanceof TcpConnection)) throw new Error(connection.message);
  return connection;
}

/** How many connections each pod has in the end, by age. */
async function grown(ipvsScheduler: SchedulerName): Promise<number[]> {
  const cluster = createCluster({
    nodes: 1,
    cni: flannel,
    config: { proxyMode: "ipvs" },
    register: (root) => registerKubeProxy(root, { ipvsScheduler }),
  });
  cluster.apply(parseManifests(MANIFESTS, "schedulers").objects);
  await cluster.settled();
  const node = cluster.nodes.get("node1")?.kernel.initNs;
  const address = cluster.api.get("Service", "default/web")?.spec.clusterIP;
  if (node === undefined || address === undefined) throw new Error("there is no Service");
  for (let i = 0; i < 6; i++) connect(node, address);
  cluster.scale("Deployment", "default/web", 4);
  await cluster.settled();
  for (let i = 0; i < 6; i++) connect(node, address);
  const service = node.ipvs.findService({
    protocol: IPPROTO_TCP,
    address: parseIp(address),
    port: 80,
  });
  // The newest comes first.
  return (service?.destinations ?? []).map((server) => server.activeConns).reverse();
}
