import { parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { createCluster } from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

const node = (name: string, more = "") =>
  `{apiVersion: v1, kind: Node, metadata: {name: ${name}}${more}}\n---\n`;
const service = (name: string, spec: string) =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {${spec}}}\n---\n`;
const kept = (name: string, ip: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {nodeName: n, containers: [{name: c}]}, status: {podIP: ${ip}}}\n---\n`;

test.each([
  [
    "an address of another range",
    service("a", "ports: [{port: 80}], clusterIP: 10.43.0.10"),
    'Service default/a: spec.clusterIPs: Invalid value: ["10.43.0.10"]: failed to allocate IP 10.43.0.10: the provided IP (10.43.0.10) is not in the valid range. The range of valid IPs is 10.96.0.0/12',
  ],
  [
    "one address for two Services",
    service("a", "ports: [{port: 80}], clusterIP: 10.96.0.9") +
      service("b", "ports: [{port: 80}], clusterIP: 10.96.0.9"),
    'Service default/b: spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: provided IP is already allocated (Service default/a has it)',
  ],
  [
    "one node port for two Services",
    service("a", "type: NodePort, ports: [{port: 1, nodePort: 30001}]") +
      service("b", "type: NodePort, ports: [{port: 1, nodePort: 30001}]"),
    "Service default/b: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated (Service default/a has it)",
  ],
  [
    "one address for two nodes",
    node("a", ", status: {addresses: [{type: InternalIP, address: 10.1.1.1}]}") +
      node("b", ", status: {addresses: [{type: InternalIP, address: 10.1.1.1}]}"),
    "Node b: address 10.1.1.1 is the one of a already",
  ],
  [
    "overlapping node ranges",
    node("a", ", spec: {podCIDR: 10.244.0.0/23}") + node("b", ", spec: {podCIDR: 10.244.1.0/24}"),
    "Node b: pod range 10.244.1.0/24 overlaps 10.244.0.0/23 of node a; give each node its own",
  ],
  [
    "a reserved name",
    node("router"),
    "Node router: is the name of a machine outside of the cluster; choose another",
  ],
  [
    "one address for two pods",
    kept("a", "10.244.0.9") + kept("b", "10.244.0.9"),
    "Pod default/b: status.podIP 10.244.0.9 is the one of Pod default/a already",
  ],
])("refuses all of an input with %s", (_, text, message) => {
  const cluster = createCluster({ cni: routed });
  expect(() => cluster.apply([...yaml(app("web", 1)), ...yaml(text)])).toThrow(message);
  expect(cluster.api.count("Deployment")).toBe(0);
});

test("refuses an object that is given twice, in two files", () => {
  const cluster = createCluster({ cni: routed });
  const objects = yaml(service("a", "ports: [{port: 80}]"));
  expect(() => cluster.apply([...objects, ...yaml(service("a", "ports: [{port: 80}]"))])).toThrow(
    "Service default/a: is given twice",
  );
});

test("checks objects that no file was read for", () => {
  const cluster = createCluster({ cni: routed });
  const bad = { apiVersion: "v1", kind: "Pod", metadata: { name: "a" }, spec: { containers: [] } };
  expect(() => cluster.apply([bad])).toThrow(
    "Pod default/a: spec.containers must have at least 1 item",
  );
});

describe("a change", () => {
  test.each([
    [
      "of a selector",
      app("web", 1).replaceAll("{app: web}", "{app: other}"),
      "Deployment default/web: spec.selector cannot be changed",
    ],
    [
      "of a Service's address",
      app("web", 1).replace("ports: [{port: 80", "clusterIP: 10.96.0.77, ports: [{port: 80"),
      "may not change once set",
    ],
  ])("%s is refused", async (_, text, message) => {
    const cluster = createCluster({ cni: routed });
    cluster.apply(yaml(app("web", 1)));
    await cluster.settled();
    expect(() => cluster.apply(yaml(text))).toThrow(message);
  });

  test("keeps what the control plane filled in", async () => {
    const cluster = createCluster({ cni: routed });
    cluster.apply(yaml(app("web", 1)));
    await cluster.settled();
    const before = cluster.api.get("Service", "default/web");
    cluster.apply(yaml(app("web", 3).replace("port: 80,", "port: 81,")));
    await cluster.settled();
    const after = cluster.api.get("Service", "default/web");
    expect(after?.spec.clusterIP).toBe(before?.spec.clusterIP);
    expect(after?.metadata.uid).toBe(before?.metadata.uid);
    expect(after?.spec.ports?.[0]?.port).toBe(81);
    expect(cluster.api.count("Pod")).toBe(3);
  });
});

test("a dump is taken as it was: owners, addresses, nodes; what the control plane made is made anew", async () => {
  const first = createCluster({ cni: routed });
  first.apply(yaml(app("web", 3)));
  await first.settled();
  const dump = (
    ["Node", "Service", "Deployment", "ReplicaSet", "Pod", "EndpointSlice"] as const
  ).flatMap((kind) => [...first.api.list(kind)]);
  const second = createCluster({ cni: routed });
  second.apply(JSON.parse(JSON.stringify(dump)));
  await second.settled();
  const seen = (of: typeof first) => ({
    pods: of.api
      .list("Pod")
      .map((p) => `${p.metadata.name} ${p.spec.nodeName} ${p.status?.podIP}`)
      .sort(),
    sets: of.api.list("ReplicaSet").map((s) => s.metadata.name),
    services: of.api
      .list("Service")
      .map((s) => `${s.metadata.name} ${s.spec.clusterIP}`)
      .sort(),
    endpoints: of.api
      .list("EndpointSlice")
      .flatMap((s) => s.endpoints.map((e) => e.addresses[0]))
      .sort(),
  });
  expect(seen(second)).toEqual(seen(first));
  expect(second.warnings).toEqual([]);
});

test.each([
  [
    "overlapping ranges",
    { clusterCidrs: [parsePrefix("10.96.0.0/16")] },
    "--cluster-cidr: pod range 10.96.0.0/16 overlaps Service range 10.96.0.0/12",
  ],
  [
    "a mask that does not fit",
    { nodeCidrMaskSize: { 4: 12, 6: 64 } },
    "--node-cidr-mask-size: a node's range of /12 does not fit into 10.244.0.0/16",
  ],
  [
    "a family without a range",
    { ipFamilies: [4, 6], clusterCidrs: [parsePrefix("10.244.0.0/16")] },
    "--cluster-cidr: no IPv6 range is given",
  ],
  [
    "a range of a family that is not used",
    { ipFamilies: [4], serviceCidrs: [parsePrefix("fd00::/112"), parsePrefix("10.0.0.0/16")] },
    "--service-cluster-ip-range: fd00::/112 is IPv6",
  ],
  [
    "a Service range without room",
    { serviceCidrs: [parsePrefix("10.96.0.0/30")] },
    "--service-cluster-ip-range: 10.96.0.0/30 has no room for Services; choose a range of /29 or larger",
  ],
  [
    "too many node ranges",
    { clusterCidrs: [parsePrefix("fd00::/32")] },
    "--cluster-cidr: fd00::/32 has 2^32 node ranges of /64",
  ],
] as const)("refuses settings with %s", (_, config, message) => {
  expect(() => createCluster({ config })).toThrow(message);
});
