import { parseManifests } from "@cnilab/cluster";
import { describe, expect, test } from "vitest";
import { importCluster, summarise } from "../src/index.ts";
import { recorded } from "./recorded.ts";

const OBJECTS = `
apiVersion: v1
kind: List
items:
- { apiVersion: v1, kind: Node, metadata: { name: node1 }, status: { addresses: [{ type: InternalIP, address: 192.168.7.11 }] } }
- { apiVersion: v1, kind: Node, metadata: { name: node2 }, spec: { podCIDRs: [10.9.2.0/24] }, status: { addresses: [{ type: InternalIP, address: 192.168.7.12 }] } }
- apiVersion: v1
  kind: Pod
  metadata: { name: client, namespace: shop }
  spec: { nodeName: node1, containers: [{ name: c, image: i }] }
  status: { phase: Running, podIP: 10.9.1.2, podIPs: [{ ip: 10.9.1.2 }] }
- apiVersion: v1
  kind: Pod
  metadata: { name: db-0, namespace: shop, labels: { app: db } }
  spec: { nodeName: node1, containers: [{ name: c, image: i, ports: [{ name: sql, containerPort: 5432 }] }] }
  status: { phase: Running, podIP: 10.9.1.3, podIPs: [{ ip: 10.9.1.3 }] }
- apiVersion: v1
  kind: Pod
  metadata: { name: gone, namespace: shop }
  spec: { nodeName: node1, containers: [{ name: c, image: i }] }
  status: { phase: Running, podIP: 10.9.1.77, podIPs: [{ ip: 10.9.1.77 }] }
- apiVersion: v1
  kind: Pod
  metadata: { name: done, namespace: shop }
  spec: { nodeName: node1, containers: [{ name: c, image: i }] }
  status: { phase: Succeeded, podIP: 10.9.1.78, podIPs: [{ ip: 10.9.1.78 }] }
- apiVersion: v1
  kind: Pod
  metadata: { name: proxy, namespace: kube-system }
  spec: { nodeName: node1, hostNetwork: true, containers: [{ name: c, image: i }] }
  status: { phase: Running, podIP: 192.168.7.11, podIPs: [{ ip: 192.168.7.11 }] }
- apiVersion: v1
  kind: Pod
  metadata: { name: coredns, namespace: kube-system }
  spec: { nodeName: node1, hostNetwork: true, containers: [{ name: c, image: "coredns:v1.13.1", args: [-conf, /etc/coredns/Corefile] }] }
  status: { phase: Running, podIP: 192.168.7.11, podIPs: [{ ip: 192.168.7.11 }] }
- apiVersion: v1
  kind: Service
  metadata: { name: kube-dns, namespace: kube-system }
  spec: { clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{ name: dns, port: 53, protocol: UDP }] }
- apiVersion: v1
  kind: Service
  metadata: { name: db, namespace: shop }
  spec: { clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], selector: { app: db }, ports: [{ name: sql, port: 5432 }] }
`;

/** What kube-proxy would have written for these Services. */
const NAT = `*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -d 10.96.0.20/32 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 10.9.1.3:5432
-A PREROUTING -d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT --to-destination 192.168.7.11:53
-A OUTPUT -d 10.96.0.20/32 -p tcp -m tcp --dport 5432 -j DNAT --to-destination 10.9.1.3:5432
COMMIT
*filter
:FORWARD ACCEPT [0:0]
COMMIT
`;

const files = recorded();
files.set("node1/iptables.txt", NAT);
const cluster = importCluster(files, parseManifests(OBJECTS, "objects.yaml").objects);

function probe(from: string, to: string): string {
  cluster.forgetConnections();
  const target = cluster.endpoint(to);
  const done = cluster.connect({ from: cluster.endpoint(from), to: target });
  return [done.verdict, done.backend, done.seenAs].filter(Boolean).join(" ");
}

describe("who is who", () => {
  test.each([
    [
      "a pod by its name, a port by its",
      "node/node1",
      "shop/db-0:sql",
      "allowed shop/db-0 10.9.1.1",
    ],
    ["a Service by its name", "node/node1", "shop/svc/db:sql", "allowed shop/db-0 192.168.7.11"],
    ["a Service by its address", "node/node1", "10.96.0.20:5432", "allowed shop/db-0 192.168.7.11"],
    [
      "a pod of the node's own network",
      "kube-system/proxy",
      "10.9.1.3:5432",
      "allowed shop/db-0 10.9.1.1",
    ],
    [
      "a name as the pod's resolver finds it",
      "shop/client",
      "db:5432",
      "allowed shop/db-0 10.9.1.2",
    ],
    ["a name that nobody has", "shop/client", "nope:80", "unresolved"],
    ["a name of the world", "node/node1", "www.example.com:80", "unresolved"],
    ["where no program listens", "node/node1", "10.9.1.3:80", "refused"],
    [
      "a host outside, whose router knows no pods and finds no way back",
      "shop/client",
      "8.8.8.8:53",
      "unreachable",
    ],
    ["a host outside, from the node", "node/node1", "8.8.8.8:53", "allowed 8.8.8.8 192.168.7.11"],
    ["the node from outside", "8.8.8.8", "192.168.7.11:10250", "refused"],
    [
      "the node from the internet, which the router forbids",
      "internet",
      "192.168.7.11:10250",
      "unreachable",
    ],
    ["a pod without a namespace", "shop/gone", "10.9.1.3:5432", "unreachable"],
  ])("%s", (_, from, to, expected) => {
    expect(probe(from, to)).toBe(expected);
  });

  test("what does not fit together is told", () => {
    expect(cluster.warnings).toEqual([
      "running pods without a namespace that has their address: shop/gone",
      "nodes that were not collected: node2",
    ]);
  });

  test("an object that is there twice is refused by name", () => {
    const { objects } = parseManifests(OBJECTS, "objects.yaml");
    expect(() => importCluster(files, [...objects, ...objects])).toThrow(
      "Node node1: is there twice; give each object once",
    );
  });

  test("objects of kinds that a CNI brings along are kept by them", () => {
    const resources = [
      {
        group: "example.com",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        namespaced: false,
        check: () => {},
      },
    ];
    const text = "{apiVersion: example.com/v1, kind: Pod, metadata: {name: web}}";
    const { objects } = parseManifests(text, "objects.yaml", { resources });
    const { api } = importCluster(files, objects, { resources });
    expect(api.get("Pod.example.com" as "Pod", "web")).toBeDefined();
    expect(api.list("Pod")).toEqual([]);
  });

  test("a node without objects is one by its folder", () => {
    const bare = importCluster(files, []);
    expect(bare.endpoint("node/node1")).toMatchObject({ kind: "node", name: "node1" });
    const [addresses] = bare.api.list("Node").map(({ status }) => status?.addresses);
    expect(addresses?.[0]).toEqual({ type: "InternalIP", address: "192.168.7.11" });
  });
});

test("the summary counts what there is", () => {
  expect(summarise(cluster)[0]).toMatchObject({
    node: "node1",
    namespaces: 3,
    pods: 2,
    devices: 11,
    iptablesRules: 3,
    nftTables: 1,
    sets: 1,
  });
});
