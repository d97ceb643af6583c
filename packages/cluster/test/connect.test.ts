import { kubeadmCorefile, registerCoreDns } from "@cnilab/dns";
import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { type Cluster, createCluster } from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

const OBJECTS = `${app("web", 2)}
{apiVersion: v1, kind: Service, metadata: {name: web-pods}, spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: web-pods.default.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: far}, spec: {type: ExternalName, externalName: example.com}}
---
{apiVersion: v1, kind: Service, metadata: {name: nobody}, spec: {clusterIP: None, selector: {app: nobody}, ports: [{port: 1}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: data}, spec: {clusterIP: None, selector: {app: db}, ports: [{name: pg, port: 5432}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: data}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: pg, ports: [{name: pg, containerPort: 5432}, {name: stats, containerPort: 9000, protocol: UDP}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host}, spec: {hostNetwork: true, nodeName: node1, containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: stuck}, spec: {nodeSelector: {a: b}, containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: kept}, spec: {nodeName: node2, containers: [{name: c, ports: [{containerPort: 80}]}]}, status: {podIP: 172.30.5.5}}
`;

/** Without kube-proxy nobody brings packets to the address of a Service, so pods ask CoreDNS at a node's. */
const COREDNS = `
{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}, data: {Corefile: ${JSON.stringify(
  kubeadmCorefile("cluster.local"),
)}}}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system}
spec:
  nodeName: node1
  hostNetwork: true
  containers:
  - name: coredns
    image: coredns:1.15
    args: [-conf, /etc/coredns/Corefile]
    volumeMounts: [{name: config, mountPath: /etc/coredns}]
  volumes: [{name: config, configMap: {name: coredns}}]
`;

const running = createCluster({
  cni: routed,
  config: { clusterDns: [parseIp("192.168.0.11")] },
  register: (root) => registerCoreDns(root, { coreDns: false }),
});
running.apply(yaml(`${COREDNS}---\n${OBJECTS}`));
await running.settled();

interface Answer {
  readonly verdict: string;
  readonly backend?: string;
  readonly seenAs?: string;
}

function ask(
  of: Cluster,
  from: string,
  to: string,
  protocol: "TCP" | "UDP" | "SCTP" | "ICMP" = "TCP",
) {
  of.forgetConnections();
  return of.connect({ from: of.endpoint(from), to: of.endpoint(to), protocol });
}

test.each([
  ["client", "data/db-0:5432", "TCP", { verdict: "allowed", backend: "data/db-0" }],
  ["client", "data/db-0:pg", "TCP", { verdict: "allowed", backend: "data/db-0" }],
  ["client", "data/db-0", "TCP", { verdict: "allowed", backend: "data/db-0" }],
  ["client", "data/db-0:stats", "UDP", { verdict: "allowed", backend: "data/db-0" }],
  ["client", "data/db-0", "ICMP", { verdict: "allowed", backend: "data/db-0" }],
  ["client", "data/db-0:81", "TCP", { verdict: "refused" }],
  ["client", "data/db-0:81", "UDP", { verdict: "refused" }],
  ["client", "data/db-0:81", "SCTP", { verdict: "refused" }],
  ["client", "data/sts/db", "TCP", { verdict: "allowed", backend: "data/db-0" }],
  ["data/sts/db", "kept:80", "TCP", { verdict: "allowed", backend: "default/kept" }],
  ["kept", "data/db-1:pg", "TCP", { verdict: "allowed", seenAs: "172.30.5.5" }],
  ["node/node3", "data/db-0:pg", "TCP", { verdict: "allowed", seenAs: "192.168.0.13" }],
  ["client", "node/node2:10250", "TCP", { verdict: "allowed", backend: "node/node2" }],
  ["client", "node/node2:22", "TCP", { verdict: "refused" }],
  ["8.8.8.8", "data/db-0:pg", "TCP", { verdict: "allowed", seenAs: "8.8.8.8" }],
  ["8.8.8.8", "kept:80", "TCP", { verdict: "allowed", seenAs: "8.8.8.8" }],
  ["client", "192.168.77.1:53", "UDP", { verdict: "allowed", backend: "192.168.77.1" }],
  [
    "node/node1",
    "internet:443",
    "TCP",
    { verdict: "allowed", backend: "internet", seenAs: "192.168.0.11" },
  ],
  ["client", "internet:443", "TCP", { verdict: "unreachable" }],
  ["internet", "data/db-0:pg", "TCP", { verdict: "unreachable" }],
  ["internet", "node/node1:10250", "TCP", { verdict: "unreachable" }],
  ["internet", "node/node1", "ICMP", { verdict: "unreachable" }],
  ["client", "10.244.200.1:80", "TCP", { verdict: "unreachable" }],
  ["client", "stuck:80", "TCP", { verdict: "unreachable" }],
  ["stuck", "data/db-0", "TCP", { verdict: "unreachable" }],
] as [string, string, "TCP", Answer][])("%s → %s over %s", (from, to, protocol, expected) => {
  expect(ask(running, from, to, protocol)).toMatchObject(expected);
});

describe("names resolve by the search path of the pod", () => {
  test.each([
    ["client", "web-pods", "allowed"],
    ["client", "web-pods.default", "allowed"],
    ["client", "web-pods.default.svc", "allowed"],
    ["client", "web-pods.default.svc.cluster.local", "allowed"],
    ["client", "web-pods.default.svc.cluster.local.", "allowed"],
    ["client", "alias:8080", "allowed"],
    ["client", "db.data", "allowed"],
    ["client", "db-1.db.data", "allowed"],
    ["client", "db-1.db.data.svc.cluster.local", "allowed"],
    ["data/db-0", "db", "allowed"],
    ["data/db-0", "db-1.db", "allowed"],
    ["client", "db", "unresolved"],
    ["client", "db-7.db.data", "unresolved"],
    ["client", "web-pods.default.", "unresolved"],
    ["client", "nobody:1", "unresolved"],
    ["client", "far:80", "unreachable"],
    ["client", "example.com:80", "unreachable"],
    ["node/node1", "example.com:80", "allowed"],
    ["client", "www.example.invalid:80", "unresolved"],
    ["client", "kept", "allowed"],
    ["node/node1", "web-pods:8080", "unresolved"],
    ["host", "web-pods:8080", "unresolved"],
  ])("%s asks for %s: %s", (from, to, verdict) => {
    expect(ask(running, from, to).verdict).toBe(verdict);
  });
});

test.each([
  ["nope/nope", "there is no pod nope/nope"],
  ["deploy/nope", "there is no Deployment default/nope"],
  ["svc/nope", "there is no Service default/nope"],
  ["node/nope", "there is no node nope"],
  ["a/b/c", '"b" is no kind that can be named so'],
  ["a/b/c/d", "is no endpoint"],
  ["300.1.2.3:80", "is no IPv4 address"],
  ["[::1", "is neither a name nor an address"],
  ["two words", "is neither a name nor an address"],
  ["web:99999", "port 99999 is not between 1 and 65535"],
  ["web:", '"" is no port'],
  ["", "an endpoint is empty"],
])("refuses the endpoint %j", (text, message) => {
  expect(() => running.endpoint(text)).toThrow(message);
});

test.each([
  ["svc/web-pods", "kept:80", "a Service sends nothing"],
  ["nobody", "kept:80", "there is no pod default/nobody"],
  ["client", "node/node1", "say which TCP port is meant, as in node/node1:80"],
  ["client", "data/db-0:http", "there is no TCP port named http; it has pg"],
])("refuses to connect %s to %s", (from, to, message) => {
  expect(() => ask(running, from, to)).toThrow(message);
  const request = { from: running.endpoint(from), to: running.endpoint(to) };
  expect(() => running.locate(request), "without sending anything").toThrow(message);
});

test("says why", () => {
  expect(ask(running, "client", "data/db-0:81").reason).toMatch(
    /^RST from 10\.244\.\d\.\d+ for 10\.244/,
  );
  expect(ask(running, "client", "nope:1").reason).toBe(
    "nope: NXDOMAIN (no such name) for nope.default.svc.cluster.local, nope.svc.cluster.local, nope.cluster.local, nope",
  );
  expect(ask(running, "client", "stuck:80").reason).toContain("Pending, 0/3 nodes are available");
});

test("listens on every port when asked to", async () => {
  const all = createCluster({ cni: routed, listen: "all" });
  all.apply(
    yaml("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c}]}}"),
  );
  await all.settled();
  for (const protocol of ["TCP", "UDP", "SCTP"] as const) {
    expect(ask(all, "node/node1", "a:4711", protocol)).toMatchObject({
      verdict: "allowed",
      backend: "default/a",
    });
    expect(ask(all, "a", "node/node2:4711", protocol)).toMatchObject({
      verdict: "allowed",
      backend: "node/node2",
    });
  }
});

test("warns of addresses out of place and of policies that nobody enforces", async () => {
  const text =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: {}}}";
  expect(running.warnings).toEqual([
    "pod address 172.30.5.5 outside of the node's range: kept, and routed to the node",
  ]);
  running.apply(yaml(text));
  expect(running.warnings[0]).toBe(
    "NetworkPolicy default/deny is not enforced: this CNI has no engine for it",
  );
});
