import type { CniOptionValues, KubeObject } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { hostOf, node, pod, verdict } from "../lab.ts";
import { addressesOf, ciliumLab } from "./lab.ts";

/** All addresses of a cluster: pods', routers', health endpoints'. */
function allAddresses(cluster: ReturnType<typeof ciliumLab>): string[] {
  const pods = cluster.api.list("Pod").flatMap((p) => (p.status?.podIPs ?? []).map((i) => i.ip));
  const nodes = cluster.api
    .list("CiliumNode.cilium.io")
    .flatMap(({ spec }) => [
      ...(spec.addresses ?? []).map(({ ip = "" }) => ip),
      ...Object.values(spec.health ?? {}),
    ]);
  return [...pods, ...nodes];
}

describe.each<{ readonly options: CniOptionValues; readonly range: string }>([
  { options: {}, range: "10.244." },
  { options: { "ipam.mode": "kubernetes" }, range: "10.244." },
  { options: { "ipam.mode": "multi-pool" }, range: "10.244." },
  {
    options: { "ipam.operator.clusterPoolIPv4PodCIDRList": "10.0.0.0/8" },
    range: "10.0.",
  },
])("$options", ({ options, range }) => {
  test("gives each pod, router and health endpoint an address of its own", () => {
    const cluster = ciliumLab({ options, pods: 20 });
    const all = allAddresses(cluster);
    expect(all.length).toBe(60 + 3 * 3);
    expect(new Set(all).size).toBe(all.length);
    for (const name of ["a1", "b20"]) expect(addressesOf(cluster, name)[0]).toMatch(range);
  });

  test("gives them both families", () => {
    const cluster = ciliumLab({
      options,
      ipFamilies: [4, 6],
      nodes: ["172.18.0.2,fd00:172::2", "172.18.0.3,fd00:172::3"],
      pods: 3,
    });
    expect(addressesOf(cluster, "a1")).toEqual([
      expect.stringMatching(/^10\./),
      expect.stringMatching(/^fd00:/),
    ]);
    const all = allAddresses(cluster);
    expect(new Set(all).size).toBe(all.length);
    expect(verdict(cluster, "a1", "b3")).toBe("allowed");
  });
});

test("a range that is full says so, and a pod that goes makes room", () => {
  // Six addresses but for the first and last: one for the router, one for health.
  const cluster = ciliumLab({
    options: { "ipam.operator.clusterPoolIPv4MaskSize": 29 },
    nodes: ["172.18.0.2"],
    pods: 5,
  });
  const pending = cluster.api.list("Pod").filter((p) => p.status?.phase === "Pending");
  expect(pending.map((p) => p.metadata.name)).toEqual(["a5"]);
  const events = cluster.api.list("Event").map((e) => e.message);
  expect(events).toContainEqual(
    expect.stringContaining(
      'unable to allocate IP via local cilium agent: [POST /ipam][502] postIpamFailure "range is full"',
    ),
  );
  cluster.delete("Pod", "default/a1");
  cluster.settle();
  cluster.clock.advance(120_000);
  expect(cluster.api.get("Pod", "default/a5")?.status?.phase).toBe("Running");
});

test("nodes without a range wait until one is given back", () => {
  const cluster = ciliumLab({
    options: {
      "ipam.operator.clusterPoolIPv4PodCIDRList": "10.1.0.0/25",
      "ipam.operator.clusterPoolIPv4MaskSize": 26,
    },
  });
  expect([...cluster.nodes.values()].map(({ ready }) => ready)).toEqual([true, true, false]);
  const status = cluster.api.get("CiliumNode.cilium.io", "node-c")?.status;
  expect(status?.ipam?.["operator-status"]?.error).toContain("10.1.0.0/25");
  cluster.delete("Node", "node-a");
  cluster.settle();
  expect(cluster.nodes.get("node-c")?.ready).toBe(true);
  expect(verdict(cluster, "c1", "b1")).toBe("allowed");
});

test("pods that come with an address keep it", () => {
  const kept = (name: string, ip: string): KubeObject =>
    ({ ...pod(name, "node-a"), status: { podIP: ip, podIPs: [{ ip }] } }) as KubeObject;
  const cluster = ciliumLab({ objects: [kept("x", "10.244.0.77"), kept("y", "10.9.9.9")] });
  expect(addressesOf(cluster, "x")).toEqual(["10.244.0.77"]);
  expect(addressesOf(cluster, "y")).toEqual(["10.9.9.9"]);
  expect(verdict(cluster, "b1", "x")).toBe("allowed");
  expect(verdict(cluster, "a1", "y")).toBe("allowed");
});

describe("multi-pool", () => {
  const options = { "ipam.mode": "multi-pool" };
  const pool = {
    apiVersion: "cilium.io/v2alpha1",
    kind: "CiliumPodIPPool",
    metadata: { name: "green" },
    spec: { ipv4: { cidrs: ["10.20.0.0/16"], maskSize: 27 } },
  } as unknown as KubeObject;

  test("annotations of pods and namespaces name a pool", () => {
    const namespace = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "park", annotations: { "ipam.cilium.io/ip-pool": "green" } },
    } as KubeObject;
    const inPark = pod("tree", "node-b") as KubeObject & { metadata: { namespace: string } };
    const cluster = ciliumLab({
      options,
      objects: [
        pool,
        namespace,
        pod("leaf", "node-a", { annotations: { "ipam.cilium.io/ip-pool": "green" } }),
        { ...inPark, metadata: { ...inPark.metadata, namespace: "park" } } as KubeObject,
      ],
    });
    cluster.clock.advance(60_000);
    expect(addressesOf(cluster, "leaf")[0]).toMatch(/^10\.20\.0\./);
    expect(cluster.api.get("Pod", "park/tree")?.status?.podIP).toMatch(/^10\.20\.0\./);
    expect(addressesOf(cluster, "a1")[0]).toMatch(/^10\.244\./);
    const { pools } = cluster.api.get("CiliumNode.cilium.io", "node-a")?.spec.ipam ?? {};
    expect(pools?.allocated?.map((a) => a.pool)).toEqual(["default", "green"]);
    expect(verdict(cluster, "leaf", "b1")).toBe("allowed");
    expect(verdict(cluster, "b1", "leaf")).toBe("allowed");
  });

  test("more pods get more ranges, and ranges that nobody uses are given back", () => {
    const leaves = Array.from({ length: 40 }, (_, i) =>
      pod(`leaf${i}`, "node-a", { annotations: { "ipam.cilium.io/ip-pool": "green" } }),
    );
    const cluster = ciliumLab({ options, objects: [pool, ...leaves] });
    cluster.clock.advance(600_000);
    const ranges = () =>
      cluster.api
        .get("CiliumNode.cilium.io", "node-a")
        ?.spec.ipam?.pools?.allocated?.find((a) => a.pool === "green")?.cidrs ?? [];
    const running = leaves.map((l) => addressesOf(cluster, l.metadata.name)[0] ?? "");
    expect(running.every((ip) => ip.startsWith("10.20.0."))).toBe(true);
    expect(ranges().length).toBe(2);
    for (const leaf of leaves) cluster.delete("Pod", `default/${leaf.metadata.name}`);
    cluster.settle();
    expect(ranges()).toEqual([]);
  });
});

test("nodes' own ranges of Kubernetes, or of their annotations", () => {
  const annotated = node("node-x", "172.18.0.9");
  const cluster = ciliumLab({ options: { "ipam.mode": "kubernetes" }, objects: [annotated] });
  const { spec } = cluster.api.get("Node", "node-a") ?? {};
  expect(cluster.api.get("CiliumNode.cilium.io", "node-a")?.spec.ipam?.podCIDRs).toEqual(
    spec?.podCIDRs,
  );
  expect(hostOf(cluster, "node-x").findDevice("cilium_host")).toBeDefined();
});

test("a node that was switched off has its own addresses again", () => {
  const cluster = ciliumLab();
  const before = cluster.api.get("CiliumNode.cilium.io", "node-a")?.spec;
  cluster.stopNode("node-a");
  cluster.startNode("node-a");
  cluster.settle();
  const after = cluster.api.get("CiliumNode.cilium.io", "node-a")?.spec;
  expect(after?.addresses).toEqual(before?.addresses);
  expect(after?.health).toEqual(before?.health);
  expect(verdict(cluster, "a1", "b1")).toBe("allowed");
  expect(verdict(cluster, "b1", "a1")).toBe("allowed");
});
