import type { Cluster, ConnectProtocol } from "@cnilab/cluster";
import { objectKey, type Pod } from "@cnilab/core";
import { EchoedRequest, HttpResponse } from "@cnilab/linux";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import type { Check } from "./check.ts";
import { DOORS } from "./doors.ts";
import { addressesOf, pod, pods } from "./test-cluster.ts";

const MODEL =
  "https://kubernetes.io/docs/concepts/services-networking/#the-kubernetes-network-model";
const PROTOCOLS: readonly ConnectProtocol[] = ["TCP", "UDP", "SCTP", "ICMP"];

/** All checks, in the order in which they run on one cluster. */
export const CHECKS: readonly Check[] = [
  {
    name: "every node becomes Ready and every pod runs",
    source: MODEL,
    async run(cluster) {
      const nodes = [...cluster.nodes.values()].filter((n) => !n.ready);
      const waiting = pods(cluster).filter((p) => p.status?.phase !== "Running");
      return [
        ...nodes.map((n) => `${n.name} is NotReady`),
        ...waiting.map((p) => `${objectKey(p)} is ${p.status?.phase}`),
      ];
    },
  },
  {
    name: "each pod has one address of each family, and none has another's",
    source: MODEL,
    async run(cluster) {
      const owners = new Map<string, string>();
      return pods(cluster).flatMap((p) => {
        const addresses = addressesOf(p);
        const families = addresses.map((a) => (a.includes(":") ? 6 : 4)).sort();
        const problems = [];
        if (families.join() !== [...cluster.config.ipFamilies].sort().join()) {
          problems.push(`${objectKey(p)} has the addresses ${addresses.join(", ") || "(none)"}`);
        }
        for (const address of addresses) {
          const other = owners.get(address);
          if (other !== undefined)
            problems.push(`${address} belongs to ${other} and ${objectKey(p)}`);
          owners.set(address, objectKey(p));
        }
        return problems;
      });
    },
  },
  {
    name: "pods' addresses are out of the cluster's ranges",
    source: MODEL,
    async run(cluster) {
      return pods(cluster).flatMap((p) =>
        addressesOf(p)
          .filter(
            (a) => !cluster.config.clusterCidrs.some((c) => c.contains(tryParseIp(a) as IpAddress)),
          )
          .map((a) => `${objectKey(p)} has ${a}`),
      );
    },
  },
  {
    name: "every pod reaches every pod, itself too, without NAT: TCP, UDP, SCTP and ping",
    source: MODEL,
    run: async (cluster) => everyPair(cluster),
  },
  {
    name: "every node reaches the pods on it",
    source: `${MODEL} (agents on a node can communicate with all pods on that node)`,
    async run(cluster) {
      return pods(cluster).flatMap((p) =>
        addressesOf(p).flatMap((address) =>
          attempt(cluster, `node/${p.spec.nodeName}`, address, "TCP", 8080),
        ),
      );
    },
  },
  {
    name: "a Service answers on its address, for clients on every node",
    source: "https://kubernetes.io/docs/reference/networking/virtual-ips/",
    async run(cluster) {
      const addresses = cluster.api.get("Service", "default/echo")?.spec.clusterIPs ?? [];
      return pods(cluster).flatMap((p) =>
        addresses.flatMap((address) =>
          (["TCP", "UDP", "SCTP"] as const).flatMap((protocol) =>
            attempt(cluster, objectKey(p), address, protocol, 80),
          ),
        ),
      );
    },
  },
  {
    name: "pods on every node resolve the name of a Service",
    source: "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/",
    async run(cluster) {
      const service = cluster.api.get("Service", "default/echo");
      const wanted = (service?.spec.clusterIPs ?? []).join(", ");
      return oneOfEachNode(cluster).flatMap((p) => {
        const found = cluster.lookUp(cluster.endpoint(objectKey(p)), "echo.default");
        if ("verdict" in found) return [`${objectKey(p)}: ${found.reason}`];
        if (found.problem !== undefined) return [`${objectKey(p)}: ${found.problem}`];
        const got = found.addresses.map(formatIp).join(", ");
        return got === wanted ? [] : [`${objectKey(p)} gets ${got} and not ${wanted}`];
      });
    },
  },
  {
    name: "a pod that goes leaves neither device nor namespace, and its successor works",
    source:
      "https://www.cni.dev/docs/spec/#del-remove-container-from-network-or-un-apply-modifications",
    async run(cluster) {
      const before = stateOf(cluster);
      cluster.delete("Pod", "default/a1");
      await cluster.settled();
      const between = stateOf(cluster);
      cluster.apply([pod("a1", 1)]);
      await cluster.settled();
      const problems = [];
      if (between.namespaces !== before.namespaces - 1)
        problems.push("its network namespace is left");
      if (between.devices >= before.devices) problems.push("its device is left on the node");
      if (stateOf(cluster).devices !== before.devices)
        problems.push("its successor has other devices");
      return [...problems, ...everyPair(cluster)];
    },
  },
  {
    name: "a node that goes takes nothing with it, and a new one joins",
    source: MODEL,
    async run(cluster) {
      cluster.delete("Node", "node3");
      await cluster.settled();
      const left = everyPair(cluster);
      cluster.apply([{ apiVersion: "v1", kind: "Node", metadata: { name: "node4" } }]);
      cluster.apply([pod("a4", 4), pod("b4", 4)]);
      await cluster.settled();
      return [...left, ...everyPair(cluster)];
    },
  },
  {
    name: "requests from outside come in by an Ingress and by a Gateway",
    source: "https://kubernetes.io/docs/concepts/services-networking/ingress/",
    async run(cluster) {
      cluster.apply(DOORS);
      await cluster.settled();
      return ["ingress.example.com", "gateway.example.com"].flatMap((host) => {
        const { outcome, failure } = cluster.requestHttp({
          from: cluster.endpoint("internet"),
          to: cluster.endpoint(host),
          port: 80,
          request: { host, path: "/any" },
          connectTimeoutMs: 10_000,
          maxTimeMs: 60_000,
        });
        const { result } = outcome ?? {};
        if (!(result instanceof HttpResponse)) {
          return [`${host}: ${failure?.reason ?? result?.message ?? "no answer"}`];
        }
        const echoed = result.notes.find((note) => note instanceof EchoedRequest);
        if (echoed === undefined) return [`${host}: ${result}`];
        const seenAs = formatIp(echoed.report.seenAddress);
        const proxy = cluster.api.list("Pod").find((p) => addressesOf(p).includes(seenAs));
        const namespace = proxy?.metadata.namespace;
        if (namespace === "ingress-nginx" || namespace === "cnilab-gateway") return [];
        return [`${host}: the endpoint saw ${seenAs}, which is no proxy's`];
      });
    },
  },
];

function everyPair(cluster: Cluster): string[] {
  const all = pods(cluster);
  return all.flatMap((from) =>
    all.flatMap((to) =>
      addressesOf(to).flatMap((address) =>
        PROTOCOLS.flatMap((protocol) => pair(cluster, from, address, protocol)),
      ),
    ),
  );
}

function pair(cluster: Cluster, from: Pod, to: string, protocol: ConnectProtocol): string[] {
  const { problems, seenAs } = connect(cluster, objectKey(from), to, protocol, 8080);
  if (seenAs === undefined || addressesOf(from).includes(seenAs)) return problems;
  return [...problems, `${objectKey(from)} -> ${to} (${protocol}): the server saw ${seenAs}`];
}

function attempt(
  cluster: Cluster,
  from: string,
  to: string,
  protocol: ConnectProtocol,
  port: number,
): string[] {
  return connect(cluster, from, to, protocol, port).problems;
}

function connect(
  cluster: Cluster,
  from: string,
  to: string,
  protocol: ConnectProtocol,
  port: number,
): { readonly problems: string[]; readonly seenAs: string | undefined } {
  const { verdict, reason, seenAs } = cluster.connect({
    from: cluster.endpoint(from),
    to: cluster.endpoint(to),
    protocol,
    port,
  });
  const problem = `${from} -> ${to} (${protocol}): ${verdict}, ${reason}`;
  return { problems: verdict === "allowed" ? [] : [problem], seenAs };
}

function stateOf(cluster: Cluster): { readonly namespaces: number; readonly devices: number } {
  let namespaces = 0;
  let devices = 0;
  for (const { kernel } of cluster.nodes.values()) {
    namespaces += [...kernel.namespaces].length;
    devices += kernel.initNs.devices.length;
  }
  return { namespaces, devices };
}

function oneOfEachNode(cluster: Cluster): Pod[] {
  const found = new Map<string | undefined, Pod>();
  for (const p of pods(cluster)) if (!found.has(p.spec.nodeName)) found.set(p.spec.nodeName, p);
  return [...found.values()];
}
