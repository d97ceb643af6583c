import type { Cluster } from "@cnilab/cluster";
import type { HttpResponse, NetNamespace } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { running } from "./running.ts";

const service = (name: string, spec: string) =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {${spec}, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: NODEPORT}]}}\n---\n`;

/** One pod on node2, behind a Service of each kind. */
const INPUT = [
  "{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: node2, containers: [{name: c, ports: [{containerPort: 8080}]}]}}\n---\n",
  service("cluster", "type: NodePort").replace("NODEPORT", "30001"),
  service("local", "type: NodePort, externalTrafficPolicy: Local").replace("NODEPORT", "30002"),
  service("lb-cluster", "type: LoadBalancer").replace("NODEPORT", "30003"),
  service("lb-local", "type: LoadBalancer, externalTrafficPolicy: Local").replace(
    "NODEPORT",
    "30004",
  ),
  service("external", "externalIPs: [192.0.2.80]").replace(", nodePort: NODEPORT", ""),
  // The controllers' Services come after these, so the addresses of the balancers are known.
  "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web}, spec: {rules: [{host: web.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: cluster, port: {number: 80}}}}]}}]}}",
].join("");

const INTERNET = "203.0.113.10";
/** A host next to the nodes that is none. */
const NEIGHBOUR = "192.168.50.7";

function ask(cluster: Cluster, src: string, dst: string): string {
  const connection = cluster.connect({ from: cluster.endpoint(src), to: cluster.endpoint(dst) });
  return connection.verdict === "allowed" ? `seen as ${connection.seenAs}` : connection.verdict;
}

/** With VXLAN a packet for another node's pod leaves by flannel.1, whose address a node's masquerading takes. */
const NODE1_TUNNEL = "10.244.0.0";
const NODE2_BRIDGE = "10.244.1.1";

describe.each(["iptables", "nftables", "ipvs"] as const)("in %s mode", (proxyMode) => {
  const cluster = running(INPUT, { proxyMode });
  // Nobody answers for an external IP by himself: whoever is to use it routes it to a node.
  ask(cluster, NEIGHBOUR, "node/node1:1");
  const neighbour = cluster.network.kernels.get(`outside-${NEIGHBOUR}`)?.initNs as NetNamespace;
  neighbour.addRoute({
    dst: parsePrefix("192.0.2.80/32"),
    via: parseIp("192.168.0.11"),
    dev: neighbour.device("eth0"),
  });
  test.each<[string, string, string, string]>([
    [
      "a node port of any node, Cluster, from beside the nodes",
      NEIGHBOUR,
      "192.168.0.11:30001",
      `seen as ${NODE1_TUNNEL}`,
    ],
    [
      "the node port of the endpoint's node, Cluster",
      NEIGHBOUR,
      "192.168.0.12:30001",
      `seen as ${NODE2_BRIDGE}`,
    ],
    [
      "a node port of a node without an endpoint, Local",
      NEIGHBOUR,
      "192.168.0.11:30002",
      // IPVS gives such a node all endpoints (pkg/proxy/ipvs/proxier.go syncEndpoint).
      proxyMode === "ipvs" ? `seen as ${NODE1_TUNNEL}` : "unreachable",
    ],
    [
      "the node port of the endpoint's node, Local",
      NEIGHBOUR,
      "192.168.0.12:30002",
      `seen as ${NEIGHBOUR}`,
    ],
    ["a load balancer, Local", "internet", "svc/lb-local", `seen as ${INTERNET}`],
    ["an external IP", NEIGHBOUR, "192.0.2.80:80", `seen as ${NODE1_TUNNEL}`],
    ["a pod's own address, beside the nodes", NEIGHBOUR, "web:8080", `seen as ${NEIGHBOUR}`],
    ["a pod, from internet: nobody opened it", "internet", "web:8080", "unreachable"],
    ["a node, from internet: nobody opened it", "internet", "node/node1:10250", "unreachable"],
    [
      "a node port, from internet: nobody opened it",
      "internet",
      "192.168.0.12:30001",
      "unreachable",
    ],
    ["an external IP, from internet: nobody opened it", "internet", "192.0.2.80:80", "unreachable"],
    ["a cluster address, from internet", "internet", "10.96.0.1:443", "unreachable"],
    ["internet, from a pod: masqueraded", "web", "internet:80", "seen as 192.168.0.12"],
    [
      "a host beside the nodes, from a pod: masqueraded",
      "web",
      `${NEIGHBOUR}:80`,
      "seen as 192.168.0.12",
    ],
  ])("%s", (_, src, dst, expected) => {
    expect(ask(cluster, src, dst)).toBe(expected);
  });

  test("a load balancer, Cluster: whichever node it comes to", () => {
    const seen = new Set(
      Array.from({ length: 12 }, () => ask(cluster, "internet", "svc/lb-cluster")),
    );
    const masqueraded = [NODE1_TUNNEL, NODE2_BRIDGE, "10.244.2.0"].map((ip) => `seen as ${ip}`);
    expect(masqueraded).toEqual(expect.arrayContaining([...seen]));
  });

  test("an Ingress: the controller's pod, and the client in X-Forwarded-For", () => {
    const { outcome } = cluster.requestHttp({
      from: cluster.endpoint("internet"),
      to: cluster.endpoint("web.example.com"),
      port: 80,
      request: { host: "web.example.com" },
      connectTimeoutMs: 10_000,
      maxTimeMs: 60_000,
    });
    const controller = cluster.api.list("Pod", "ingress-nginx")[0]?.status?.podIP;
    const answer = outcome?.result as HttpResponse | undefined;
    const body = JSON.parse(answer?.body ?? "") as {
      readonly client: string;
      readonly headers: Readonly<Record<string, string>>;
    };
    expect(body.client.split(":")[0]).toBe(controller);
    expect(body.headers["X-Forwarded-For"]).toBe(INTERNET);
  });
});

test("a balancer that translates leaves its own address", () => {
  const cluster = running(INPUT, { cloud: { sourcePreserving: false } });
  expect(ask(cluster, "internet", "svc/lb-local")).toMatch(/^seen as 192\.168\.0\.\d+$/);
});
