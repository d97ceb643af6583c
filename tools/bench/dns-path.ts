// Questions of a pod to CoreDNS through the datapath: `node dns-path.ts SERVICES MODE`. Prints JSON.
import { createCluster } from "@cnilab/cluster";
import type { KubeObject, ProxyMode } from "@cnilab/core";
import {
  type DnsServerAddress,
  queryOf,
  type ResolvConf,
  Resolver,
  registerCoreDns,
  SocketTransport,
} from "@cnilab/dns";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { NetNamespace } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { perCpuSecond } from "./measure.ts";

export interface DnsPathBench {
  readonly services: number;
  readonly mode: ProxyMode;
  /** Questions with their answers that a CPU second has room for. */
  readonly answers: Readonly<Record<string, number>>;
}

/** Connections after which tracking is emptied, long before its table is full. */
const FORGET_AFTER = 20_000;
const SERVER: DnsServerAddress = { address: parseIp("10.96.0.10"), port: 53, protocol: "udp" };
/** As the kubelet writes it for a pod of the namespace. */
const RESOLV_CONF: ResolvConf = {
  nameservers: [SERVER.address],
  search: ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"],
  options: [{ name: "ndots", value: "5" }],
};

console.log(
  JSON.stringify(
    measure(Number(process.argv[2] ?? 10_000), (process.argv[3] ?? "iptables") as ProxyMode),
  ),
);

function measure(services: number, proxyMode: ProxyMode): DnsPathBench {
  const cluster = createCluster({
    cni: flannel,
    nodes: 2,
    config: { proxyMode },
    register: (root) => {
      registerKubeProxy(root);
      registerCoreDns(root);
    },
  });
  cluster.apply([client(), ...Array.from({ length: services }, (_, i) => service(i))]);
  cluster.settle();
  const uid = cluster.api.get("Pod", "default/client")?.metadata.uid as string;
  const netns = cluster.nodes.get("node1")?.kubelet.sandboxOf(uid) as NetNamespace;
  const transport = new SocketTransport(netns, "bench");
  const forget = (i: number) => {
    if (i % FORGET_AFTER === 0) cluster.forgetConnections();
  };
  const nameOf = (i: number) => `service-${(i * 7919) % services}.default.svc.cluster.local.`;
  /** Each with a socket of its own, so that each is the first packet of a connection. */
  const fresh = perCpuSecond((times) => {
    let answered = 0;
    for (let i = 0; i < times; i++) {
      forget(i);
      const socket = transport.open(SERVER, (answer) => {
        if (typeof answer !== "string") answered += answer.answer.length;
      });
      socket.send(queryOf(i & 0xffff, nameOf(i), "A"));
      socket.close();
    }
    check(answered, times);
  });
  /** All over one socket. */
  const kept = perCpuSecond((times) => {
    let answered = 0;
    const socket = transport.open(SERVER, (answer) => {
      if (typeof answer !== "string") answered += answer.answer.length;
    });
    for (let i = 0; i < times; i++) socket.send(queryOf(i & 0xffff, nameOf(i), "A"));
    socket.close();
    check(answered, times);
  });
  /** getaddrinfo of a name in the pod's namespace: A and AAAA. */
  const lookups = perCpuSecond((times) => {
    let answered = 0;
    const { clock } = cluster;
    for (let i = 0; i < times; i++) {
      forget(i);
      const random = netns.kernel.random;
      const resolver = new Resolver({ resolvConf: RESOLV_CONF, transport, clock, random });
      resolver.lookup(`service-${(i * 7919) % services}`, "AF_UNSPEC", ({ addresses }) => {
        answered += addresses.length;
      });
    }
    check(answered, times);
  });
  return { services, mode: proxyMode, answers: { fresh, kept, lookups } };
}

function check(answered: number, times: number): void {
  if (answered !== times) throw new Error(`${times} questions, ${answered} answers`);
}

function client(): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "client", namespace: "default" },
    spec: { nodeName: "node1", containers: [{ name: "c" }] },
  } as KubeObject;
}

function service(i: number): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: `service-${i}`, namespace: "default" },
    spec: {
      clusterIP: `10.97.${i >> 8}.${i & 255}`,
      selector: { app: "none" },
      ports: [{ port: 80 }],
    },
  } as KubeObject;
}
