import { checkIpam, IpamClient, showUtilization } from "@cnilab/calico";
import type { Cluster } from "@cnilab/cluster";
import type { KubeObject, Pod } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { pod } from "../lab.ts";
import { calicoLab, calicoObject, clusterRoutes, pool, verdict } from "./lab.ts";

// Blocks of node-a, node-b and node-c in 10.244.0.0/16 are where vectors/calico/block-order says: .174.128, .218.64, .99.192.

const NO_TUNNELS = { options: { encapsulation: "None" } } as const;

function ipsOf(cluster: Cluster, name: string): string[] {
  return (cluster.api.get("Pod", `default/${name}`)?.status?.podIPs ?? []).map(({ ip }) => ip);
}

/** What the kubelet says of a pod without a network. */
function whyNot(cluster: Cluster, name: string): string {
  const events = cluster.api.list("Event").filter((e) => e.involvedObject.name === name);
  const failed = events.find((e) => e.reason === "FailedCreatePodSandBox");
  return (failed?.message ?? "").replace(
    'Failed to create pod sandbox: failed to setup network for sandbox: plugin type="calico" failed (add): ',
    "",
  );
}

function blocks(cluster: Cluster): string[] {
  return cluster.api
    .list("IPAMBlock.projectcalico.org")
    .map(({ spec }) => `${spec.cidr} ${spec.affinity ?? "nobody"}`)
    .toSorted();
}

function problems(cluster: Cluster): string {
  const { text } = checkIpam(cluster.api, IpamClient.of(cluster.api, cluster.clock), {
    showAllIps: false,
    showProblemIps: true,
    version: "test",
    now: cluster.clock.now,
  });
  return text.split("\n").at(-1) as string;
}

const FINE = "Check complete; found 0 problems.";

const onNodeA = (annotations: Readonly<Record<string, string>>) =>
  pod("wanted", "node-a", { annotations });

test("pods get addresses out of their node's block, one after the other, and the one that has been free the longest first", async () => {
  const cluster = await calicoLab({ ...NO_TUNNELS, pods: 2 });
  expect([1, 2].map((i) => ipsOf(cluster, `a${i}`))).toEqual([
    ["10.244.174.128"],
    ["10.244.174.129"],
  ]);
  expect(ipsOf(cluster, "b1")).toEqual(["10.244.218.64"]);
  cluster.delete("Pod", "default/a1");
  await cluster.settled();
  cluster.apply([pod("a3", "node-a")]);
  await cluster.settled();
  expect(ipsOf(cluster, "a3")).toEqual(["10.244.174.130"]);
  expect(problems(cluster)).toBe(FINE);
});

test("pods of two families have an address of each", async () => {
  const cluster = await calicoLab({ ...NO_TUNNELS, ipFamilies: [4, 6] });
  const [first, second] = ipsOf(cluster, "a1");
  expect(first).toBe("10.244.174.128");
  expect(second).toContain(":");
  expect(problems(cluster)).toBe(FINE);
});

describe("annotations", () => {
  test.each<[string, Readonly<Record<string, string>>, string]>([
    ["a certain address", { ipAddrs: '["10.244.7.7"]' }, "10.244.7.7"],
    ["a pool by its name", { ipv4pools: '["second"]' }, "10.9.0.0/24"],
    ["a pool by its CIDR", { ipv4pools: '["10.9.0.0/24"]' }, "10.9.0.0/24"],
  ])("%s", async (_, wanted, expected) => {
    const objects = [
      pool("10.9.0.0/24", { assignmentMode: "Manual" }, "second"),
      onNodeA(prefixed(wanted)),
    ];
    const cluster = await calicoLab({
      ...NO_TUNNELS,
      objects: [pool("10.244.0.0/16", {}, "first"), ...objects],
    });
    const [ip = ""] = ipsOf(cluster, "wanted");
    if (expected.includes("/")) expect(ip.startsWith("10.9.0.")).toBe(true);
    else expect(ip).toBe(expected);
    expect(ipsOf(cluster, "a1")).toEqual(["10.244.174.128"]);
    expect(problems(cluster)).toBe(FINE);
  });

  test.each<[string, Readonly<Record<string, string>>, string]>([
    [
      "an address that is taken",
      { ipAddrs: '["10.244.218.64"]' },
      "error getting IP from IPAM: resource already exists: 10.244.218.64 with error: Address already assigned in block",
    ],
    [
      "an address of no pool",
      { ipAddrs: '["10.99.0.1"]' },
      "error getting IP from IPAM: The provided IP address is not in a configured pool\n",
    ],
    ["an address that is none", { ipAddrs: '["10.244.7"]' }, "invalid IP format: 10.244.7"],
    [
      "two addresses of a family",
      { ipAddrs: '["10.244.7.7", "10.244.7.8"]' },
      'cannot have more than one IPv4 address for "cni.projectcalico.org/ipAddrs" annotation',
    ],
    [
      "a pool that is not there",
      { ipv4pools: '["third"]' },
      'error parsing pool "third": invalid CIDR address: third',
    ],
    [
      "a CIDR that no pool has",
      { ipv4pools: '["10.0.0.0/8"]' },
      "the given pool (10.0.0.0/8) does not exist, or is not enabled",
    ],
    [
      "a family of its own making",
      { ipFamilies: '["IPv5"]' },
      'error parsing ipFamilies: ["IPv5"]',
    ],
    [
      "what is no list",
      { ipv4pools: "second" },
      'failed to parse \'second\' of annotation "cni.projectcalico.org/ipv4pools" as JSON: a list of texts is expected, as ["a", "b"]',
    ],
  ])("%s: the pod has to wait", async (_, wanted, expected) => {
    const cluster = await calicoLab({ ...NO_TUNNELS });
    cluster.apply([onNodeA(prefixed(wanted))]);
    await cluster.settled();
    expect(ipsOf(cluster, "wanted")).toEqual([]);
    expect(whyNot(cluster, "wanted")).toBe(expected);
    expect(problems(cluster)).toBe(FINE);
  });
});

function modes(encapsulation: string): object {
  if (encapsulation === "VXLAN") return { vxlanMode: "Always" };
  return encapsulation === "IPIP" ? { ipipMode: "Always" } : {};
}

function prefixed(wanted: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(wanted).map(([key, value]) => [`cni.projectcalico.org/${key}`, value]),
  );
}

test("pools are for nodes and namespaces that they select", async () => {
  const namespace = (name: string, tier: string): KubeObject => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { tier } },
  });
  const inNamespace = (name: string, ns: string): KubeObject => {
    const plain = pod(name, "node-a");
    return { ...plain, metadata: { ...plain.metadata, namespace: ns } };
  };
  const cluster = await calicoLab({
    ...NO_TUNNELS,
    objects: [
      pool(
        "10.1.0.0/16",
        {
          nodeSelector: "kubernetes.io/hostname == 'node-a'",
          namespaceSelector: "tier != 'gold'",
          allowedUses: ["Workload"],
        },
        "a",
      ),
      pool(
        "10.2.0.0/16",
        { namespaceSelector: "tier == 'gold'", allowedUses: ["Workload"] },
        "gold",
      ),
      pool(
        "10.3.0.0/16",
        {
          nodeSelector: "kubernetes.io/hostname in {'node-b', 'node-c'}",
        },
        "others",
      ),
      namespace("shiny", "gold"),
      inNamespace("ring", "shiny"),
    ],
  });
  const addressOf = (key: string) => cluster.api.get("Pod", key)?.status?.podIP ?? "";
  expect(addressOf("shiny/ring")).toMatch(/^10\.2\./);
  expect(addressOf("default/a1")).toMatch(/^10\.1\./);
  expect(addressOf("default/b1")).toMatch(/^10\.3\./);
});

describe("a pool that is too small", () => {
  const small = pool("10.1.0.0/29", { blockSize: 30 }, "small");

  test("a node without a block borrows, and the last pod is told that there is nothing left", async () => {
    const cluster = await calicoLab({ ...NO_TUNNELS, pods: 3, objects: [small] });
    const ips = ["a", "b", "c"].flatMap((n) => [1, 2, 3].map((i) => ipsOf(cluster, `${n}${i}`)));
    const given = ips.flat();
    expect(given).toHaveLength(8);
    expect(new Set(given).size).toBe(8);
    const [waiting] = cluster.api.list("Pod").filter((p: Pod) => p.status?.podIP === undefined);
    expect(whyNot(cluster, waiting?.metadata.name as string)).toBe(
      "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; No IPs available in pools: [10.1.0.0/29]",
    );
    expect(problems(cluster)).toBe(FINE);
  });

  test.each(["VXLAN", "IPIP", "None"])(
    "a borrowed address is reached from everywhere, by a route of its own (%s)",
    async (encapsulation) => {
      // Tunnels take an address each.
      const room = pool("10.1.0.0/28", { blockSize: 29, ...modes(encapsulation) }, "room");
      const cluster = await calicoLab({ options: { encapsulation }, pods: 2, objects: [room] });
      const lending = cluster.api
        .list("IPAMBlock.projectcalico.org")
        .map(({ spec }) => (spec.affinity ?? "").replace("host:", ""));
      const borrower = ["node-a", "node-b", "node-c"].find((name) => !lending.includes(name));
      const name = borrower?.at(-1);
      const ip = ipsOf(cluster, `${name}1`)[0] as string;
      for (const other of ["a", "b", "c"].filter((n) => n !== name)) {
        expect(clusterRoutes(cluster, `node-${other}`).some((r) => r.startsWith(`${ip} `))).toBe(
          true,
        );
        expect(verdict(cluster, `${other}1`, `${name}1`)).toBe("allowed");
        expect(verdict(cluster, `${name}2`, `${other}2`)).toBe("allowed");
      }
      expect(problems(cluster)).toBe(FINE);
    },
  );

  test("and it gets an address when another pod goes", async () => {
    const cluster = await calicoLab({ ...NO_TUNNELS, pods: 3, objects: [small] });
    const [waiting] = cluster.api.list("Pod").filter((p: Pod) => p.status?.podIP === undefined);
    cluster.delete("Pod", `default/${waiting?.metadata.name === "a1" ? "a2" : "a1"}`);
    cluster.clock.advance(60_000);
    await cluster.settled();
    expect(ipsOf(cluster, waiting?.metadata.name as string)).toHaveLength(1);
    expect(problems(cluster)).toBe(FINE);
  });

  test("with strict affinity a node without a block has nothing", async () => {
    const strict = calicoObject("IPAMConfiguration", "default", {
      strictAffinity: true,
      autoAllocateBlocks: true,
    });
    const cluster = await calicoLab({ ...NO_TUNNELS, objects: [small, strict] });
    const [waiting] = cluster.api.list("Pod").filter((p: Pod) => p.status?.podIP === undefined);
    expect(whyNot(cluster, waiting?.metadata.name as string)).toBe(
      "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; No more free affine blocks and strict affinity enabled",
    );
  });

  test("reserved addresses are handed out to nobody who does not ask for them", async () => {
    const reservation = calicoObject("IPReservation", "first", { reservedCIDRs: ["10.1.0.0/30"] });
    const cluster = await calicoLab({ ...NO_TUNNELS, pods: 1, objects: [small, reservation] });
    const given = ["a1", "b1", "c1"].flatMap((name) => ipsOf(cluster, name));
    expect(given.toSorted()).toEqual(["10.1.0.4", "10.1.0.5", "10.1.0.6"]);
    expect(showUtilization(IpamClient.of(cluster.api, cluster.clock), false)).toContain(
      "| IP Pool  | 10.1.0.0/29 |         8 |    3 (38%) |      4 (50%) |  1 (12%) |",
    );
  });
});

describe("what is gone", () => {
  test("a node that is deleted leaves nothing behind", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" }, pods: 2 });
    expect(blocks(cluster)).toHaveLength(3);
    cluster.delete("Node", "node-a");
    await cluster.settled();
    expect(blocks(cluster)).toEqual([
      "10.244.218.64/26 host:node-b",
      "10.244.99.192/26 host:node-c",
    ]);
    expect(cluster.api.list("BlockAffinity.projectcalico.org")).toHaveLength(2);
    const handles = cluster.api.list("IPAMHandle.projectcalico.org");
    expect(handles.some(({ spec }) => spec.handleID.endsWith("node-a"))).toBe(false);
    expect(problems(cluster)).toBe(FINE);
  });

  test("what pods of a silent node had is taken back after the grace period", async () => {
    const cluster = await calicoLab({ ...NO_TUNNELS, pods: 2 });
    cluster.stopNode("node-a");
    for (const name of ["a1", "a2"]) {
      cluster.api.delete("Pod", `default/${name}`, { gracePeriodSeconds: 0 });
    }
    await cluster.settled();
    expect(problems(cluster)).toBe("Check complete; found 2 problems.");
    cluster.clock.advance(14 * 60_000);
    expect(problems(cluster)).toBe("Check complete; found 2 problems.");
    cluster.clock.advance(10 * 60_000);
    expect(problems(cluster)).toBe(FINE);
    // The node is still there, and keeps its block.
    expect(blocks(cluster)).toContain("10.244.174.128/26 host:node-a");
  });

  test("a block that is empty for the grace period goes where its node has another", async () => {
    const small = pool("10.1.0.0/24", { blockSize: 30 }, "small");
    const cluster = await calicoLab({
      ...NO_TUNNELS,
      nodes: ["172.18.0.2"],
      pods: 6,
      objects: [small],
    });
    expect(blocks(cluster)).toHaveLength(2);
    for (const name of ["a5", "a6"]) cluster.delete("Pod", `default/${name}`);
    await cluster.settled();
    expect(blocks(cluster)).toHaveLength(2);
    cluster.clock.advance(25 * 60_000);
    expect(blocks(cluster)).toHaveLength(1);
    expect(problems(cluster)).toBe(FINE);
  });
});

test("pods that were written down keep their addresses, with their blocks written down or without", async () => {
  const kept = (name: string, nodeName: string, ip: string): KubeObject =>
    ({
      ...pod(name, nodeName),
      status: { podIP: ip, podIPs: [{ ip }] },
    }) as KubeObject;
  const block = calicoObject("IPAMBlock", "10-244-50-0-30", {
    cidr: "10.244.50.0/30",
    affinity: "host:node-a",
    allocations: [0, null, null, null],
    unallocated: [1, 2, 3],
    attributes: [
      {
        handle_id: "k8s-pod-network.0123",
        secondary: { namespace: "default", pod: "with", node: "node-a", timestamp: "then" },
      },
    ],
    sequenceNumber: 7,
    sequenceNumberForAllocation: { "0": 7 },
    deleted: false,
  });
  const handle = calicoObject("IPAMHandle", "k8s-pod-network.0123", {
    handleID: "k8s-pod-network.0123",
    block: { "10.244.50.0/30": 1 },
    deleted: false,
  });
  const affinity = calicoObject("BlockAffinity", "node-a-10-244-50-0-30", {
    cidr: "10.244.50.0/30",
    node: "node-a",
    state: "confirmed",
    deleted: false,
  });
  const cluster = await calicoLab({
    ...NO_TUNNELS,
    pods: 0,
    objects: [
      pool("10.244.0.0/16", { blockSize: 30 }, "first"),
      block,
      handle,
      affinity,
      kept("with", "node-a", "10.244.50.0"),
      kept("without", "node-b", "10.244.60.2"),
      kept("stray", "node-b", "172.30.0.9"),
    ],
  });
  expect(ipsOf(cluster, "with")).toEqual(["10.244.50.0"]);
  expect(ipsOf(cluster, "without")).toEqual(["10.244.60.2"]);
  expect(ipsOf(cluster, "stray")).toEqual(["172.30.0.9"]);
  expect(blocks(cluster)).toEqual(["10.244.50.0/30 host:node-a", "10.244.60.0/30 host:node-b"]);
  expect(cluster.warnings.join("\n")).toContain("pod address 172.30.0.9 outside");
  expect(cluster.warnings.join("\n")).not.toContain("10.244");
});
