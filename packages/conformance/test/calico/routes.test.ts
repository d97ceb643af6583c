import { vethName } from "@cnilab/calico";
import type { Cluster } from "@cnilab/cluster";
import { fdbText, neighboursText, routesText, rulesText } from "@cnilab/inspect";
import type { Vxlan } from "@cnilab/linux";
import { parseIp, parsePrefix, tryParseMac } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { node, pod } from "../lab.ts";
import { addressOf, calicoLab, calicoObject, clusterRoutes, pool, verdict } from "./lab.ts";

// Blocks of node-a, node-b and node-c in 10.244.0.0/16 are where vectors/calico/block-order says: .174.128, .218.64, .99.192.
const [A, B, C] = ["10.244.174.128", "10.244.218.64", "10.244.99.192"];
/** node-c is in another subnet. */
const TWO_SUBNETS = ["172.18.0.2", "172.18.0.3", "172.19.0.4"];

describe("routes of node-a to other nodes' pods", () => {
  test.each([
    [
      "IPIP",
      {},
      [
        `${C}/26 via 172.19.0.4 dev tunl0 proto 80 onlink mtu 1480`,
        `blackhole ${A}/26 proto 80`,
        `${B}/26 via 172.18.0.3 dev tunl0 proto 80 onlink mtu 1480`,
      ],
    ],
    [
      "IPIPCrossSubnet",
      {},
      [
        `${C}/26 via 172.19.0.4 dev tunl0 proto 80 onlink mtu 1480`,
        `blackhole ${A}/26 proto 80`,
        `${B}/26 via 172.18.0.3 dev eth0 proto 80 onlink`,
      ],
    ],
    [
      "VXLAN",
      {},
      [
        `${C}/26 via ${C} dev vxlan.calico onlink mtu 1450`,
        `blackhole ${A}/26 proto 80`,
        `${B}/26 via ${B} dev vxlan.calico onlink mtu 1450`,
      ],
    ],
    [
      "VXLANCrossSubnet",
      {},
      [
        `${C}/26 via ${C} dev vxlan.calico onlink mtu 1450`,
        `blackhole ${A}/26 proto 80`,
        `${B}/26 via 172.18.0.3 dev eth0 proto 80 onlink`,
      ],
    ],
    [
      "VXLAN",
      { mtu: 1300 },
      [
        `${C}/26 via ${C} dev vxlan.calico onlink mtu 1300`,
        `blackhole ${A}/26 proto 80`,
        `${B}/26 via ${B} dev vxlan.calico onlink mtu 1300`,
      ],
    ],
  ])("%s %o", async (encapsulation, options, expected) => {
    const cluster = await calicoLab({
      nodes: TWO_SUBNETS,
      options: { encapsulation, ...options },
    });
    expect(clusterRoutes(cluster, "node-a")).toEqual(expected);
    expect(verdict(cluster, "a1", addressOf(cluster, "b1"))).toBe("allowed");
    expect(verdict(cluster, "a1", addressOf(cluster, "c1"))).toBe("allowed");
  });
});

test("IPv6 goes by a VXLAN device of its own", async () => {
  const cluster = await calicoLab({
    nodes: ["172.18.0.2,fd00:18::2", "172.18.0.3,fd00:18::3"],
    ipFamilies: [4, 6],
    options: { encapsulation: "VXLAN" },
  });
  const lines = clusterRoutes(cluster, "node-a", { family: 6 });
  const block = /^(fd00:[0-9a-f:]+)\/122 via \1 dev vxlan-v6\.calico metric 1024 onlink mtu 1430/;
  expect(lines.filter((l) => block.test(l))).toHaveLength(1);
  expect(
    lines.filter((l) => /^blackhole fd00:[0-9a-f:]+\/122 .*proto 80 metric 1024/.test(l)),
  ).toHaveLength(1);
  const ips = cluster.api.get("Pod", "default/b1")?.status?.podIPs ?? [];
  expect(ips.map(({ ip }) => verdict(cluster, "a1", ip))).toEqual(["allowed", "allowed"]);
});

describe("a VXLAN device", () => {
  test("knows the others' tunnels by address and MAC, and does not learn", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const netns = initNs(cluster, "node-a");
    const dev = netns.device("vxlan.calico");
    const lines = neighboursText(netns)
      .split("\n")
      .filter((l) => l.includes("vxlan.calico"));
    expect(lines.toSorted()).toEqual([
      `${B} dev vxlan.calico lladdr 66:89:3a:22:7a:ac PERMANENT `,
      `${C} dev vxlan.calico lladdr 66:1a:b9:f1:6e:af PERMANENT `,
    ]);
    expect(
      fdbText(netns)
        .split("\n")
        .filter((l) => l.includes("vxlan.calico"))
        .toSorted(),
    ).toEqual([
      "66:1a:b9:f1:6e:af dev vxlan.calico dst 172.18.0.4 self permanent",
      "66:89:3a:22:7a:ac dev vxlan.calico dst 172.18.0.3 self permanent",
    ]);
    expect(dev).toMatchObject({ vni: 4096, port: 4789, learning: false });
    expect(dev.addresses4.map((a) => a.prefixLength)).toEqual([32]);
  });

  test("gives a node's own packets to remote pods its address", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const { seenAs } = cluster.connect({
      from: cluster.endpoint("node/node-a"),
      to: cluster.endpoint(addressOf(cluster, "b1")),
      protocol: "TCP",
      port: 8080,
    });
    expect(seenAs).toBe(A);
  });
});

describe("pods of the node's own", () => {
  test("have a route of Felix's in place of the plugin's, by a veth without address", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const netns = initNs(cluster, "node-a");
    const address = addressOf(cluster, "a1");
    const dev = netns.device(vethName("default", "a1"));
    const lines = routesText(netns)
      .split("\n")
      .filter((l) => l.startsWith(`${address} `));
    expect(lines).toEqual([`${address} dev ${dev.name} scope link metric 1024 `]);
    expect(dev.addresses4).toEqual([]);
    expect(dev.mac).toBe(0xeeeeeeeeeeee);
    expect(dev.conf4).toMatchObject({ proxy_arp: 1, route_localnet: 1, forwarding: 1 });
  });

  test("that have gone leave their address to the blackhole", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const address = addressOf(cluster, "a1");
    cluster.delete("Pod", "default/a1");
    await cluster.settled();
    expect(routesText(initNs(cluster, "node-a"))).not.toContain(`${address} `);
    expect(verdict(cluster, "b1", address)).toContain("BLACKHOLE_ROUTE");
  });

  test("tell of their addresses before the kubelet does", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const address = addressOf(cluster, "a1");
    const annotations = cluster.api.get("Pod", "default/a1")?.metadata.annotations ?? {};
    expect(annotations).toMatchObject({
      "cni.projectcalico.org/podIP": `${address}/32`,
      "cni.projectcalico.org/podIPs": `${address}/32`,
    });
    expect(annotations["cni.projectcalico.org/containerID"]).toMatch(/^[0-9a-f]{64}$/);
  });
});

test("an address out of another node's block has a route of its own", async () => {
  // Four blocks of four addresses: node-b has one, and node-a takes the others before it borrows.
  const cluster = await calicoLab({
    nodes: ["172.18.0.2", "172.18.0.3"],
    objects: [pool("10.9.0.0/28", { blockSize: 30, vxlanMode: "Always" })],
    options: { encapsulation: "VXLAN" },
    pods: 1,
  });
  const more = Array.from({ length: 12 }, (_, i) => pod(`more${i}`, "node-a"));
  cluster.apply(more);
  await cluster.settled();
  const blocks = cluster.api.list("IPAMBlock.projectcalico.org");
  const ofB = blocks.find((b) => b.spec.affinity === "host:node-b");
  const borrowed = [...more.map((m) => addressOf(cluster, m.metadata.name))].filter((a) =>
    inBlock(a, ofB?.spec.cidr),
  );
  expect(borrowed.length).toBeGreaterThan(0);
  for (const address of borrowed) {
    const via = cluster.api.get("Node", "node-a")?.metadata.annotations?.[
      "projectcalico.org/IPv4VXLANTunnelAddr"
    ];
    expect(clusterRoutes(cluster, "node-b")).toContain(
      `${address} via ${via} dev vxlan.calico onlink mtu 1450`,
    );
    expect(verdict(cluster, "b1", address)).toBe("allowed");
  }
});

describe("WireGuard", () => {
  test("has a table of its own, where a node's own addresses are left out", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN", wireguard: true } });
    const netns = initNs(cluster, "node-a");
    expect(rulesText(netns)).toContain("99:\tnot from all fwmark 0x200000/0x200000 lookup 1");
    expect(clusterRoutes(cluster, "node-a", { table: 1 })).toEqual([
      // A block, and in it the addresses of the node's two tunnels.
      `${C}/26 dev wireguard.cali scope link`,
      `${C} dev wireguard.cali scope link`,
      `${wireguardAddress(cluster, "node-c")} dev wireguard.cali scope link`,
      `throw ${A}/26`,
      `${B}/26 dev wireguard.cali scope link`,
      `${B} dev wireguard.cali scope link`,
      `${wireguardAddress(cluster, "node-b")} dev wireguard.cali scope link`,
    ]);
  });

  test("leaves nodes without a key to the plain way", async () => {
    const off = calicoObject("FelixConfiguration", "node.node-c", { wireguardEnabled: false });
    const on = calicoObject("FelixConfiguration", "default", { wireguardEnabled: true });
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" }, objects: [on, off] });
    const table = clusterRoutes(cluster, "node-a", { table: 1 });
    expect(table).toContain(`throw ${C}/26`);
    expect(table).toContain(`${B}/26 dev wireguard.cali scope link`);
    expect(clusterRoutes(cluster, "node-c", { table: 1 })).toEqual([]);
    for (const to of ["b1", "c1"])
      expect(verdict(cluster, "a1", addressOf(cluster, to))).toBe("allowed");
    expect(verdict(cluster, "c1", addressOf(cluster, "a1"))).toBe("allowed");
  });
});

describe("what changes while it runs", () => {
  test("what somebody deletes comes back at the next refresh", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const netns = initNs(cluster, "node-a");
    const state = () => [routesText(netns), fdbText(netns), neighboursText(netns)].join("\n");
    const before = state();
    for (const dst of [`${A}/26`, `${B}/26`, `${addressOf(cluster, "a1")}/32`]) {
      netns.deleteRoute({ dst: parsePrefix(dst) });
    }
    const dev = netns.device("vxlan.calico") as Vxlan;
    dev.deleteFdb(tryParseMac("66:89:3a:22:7a:ac") ?? 0);
    netns.neighboursOf(dev).delete(parseIp(C));
    expect(state()).not.toBe(before);
    cluster.clock.advance(90_000);
    expect(state()).toBe(before);
  });

  test("who owns the routes of pools without encapsulation", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "None" } });
    expect(clusterRoutes(cluster, "node-a")).toEqual([
      `${C}/26 via 172.18.0.4 dev eth0 proto bird metric 1024`,
      `blackhole ${A}/26 proto bird`,
      `${B}/26 via 172.18.0.3 dev eth0 proto bird metric 1024`,
    ]);
    cluster.apply([
      calicoObject("FelixConfiguration", "default", { programClusterRoutes: "Enabled" }),
      calicoObject("BGPConfiguration", "default", { programClusterRoutes: "Disabled" }),
    ]);
    await cluster.settled();
    expect(clusterRoutes(cluster, "node-a")).toEqual([
      `${C}/26 via 172.18.0.4 dev eth0 proto 80 onlink`,
      `blackhole ${A}/26 proto 80`,
      `${B}/26 via 172.18.0.3 dev eth0 proto 80 onlink`,
    ]);
    expect(verdict(cluster, "a1", addressOf(cluster, "b1"))).toBe("allowed");
  });

  test("a pool's encapsulation", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    cluster.api.update("IPPool.projectcalico.org", "default-ipv4-ippool", (p) => ({
      ...p,
      spec: { ...p.spec, vxlanMode: "Never", ipipMode: "Always" },
    }));
    await cluster.settled();
    expect(clusterRoutes(cluster, "node-a")).toEqual([
      `${C}/26 via 172.18.0.4 dev tunl0 proto 80 onlink mtu 1480`,
      `blackhole ${A}/26 proto 80`,
      `${B}/26 via 172.18.0.3 dev tunl0 proto 80 onlink mtu 1480`,
    ]);
    expect(initNs(cluster, "node-a").findDevice("vxlan.calico")).toBeUndefined();
    expect(verdict(cluster, "a1", addressOf(cluster, "b1"))).toBe("allowed");
  });

  test("a node that joins", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    cluster.apply([node("node-d", "172.18.0.5"), pod("d1", "node-d")]);
    await cluster.settled();
    expect(verdict(cluster, "a1", addressOf(cluster, "d1"))).toBe("allowed");
    expect(verdict(cluster, "d1", addressOf(cluster, "a1"))).toBe("allowed");
  });

  test("a node that is switched off and on again", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    const before = clusterRoutes(cluster, "node-a");
    cluster.stopNode("node-b");
    await cluster.settled();
    // Nobody takes its routes away: the datastore still has its block.
    expect(clusterRoutes(cluster, "node-a")).toEqual(before);
    cluster.startNode("node-b");
    await cluster.settled();
    cluster.apply([pod("b2", "node-b")]);
    await cluster.settled();
    expect(clusterRoutes(cluster, "node-a")).toEqual(before);
    expect(verdict(cluster, "a1", addressOf(cluster, "b2"))).toBe("allowed");
    expect(verdict(cluster, "b2", addressOf(cluster, "a1"))).toBe("allowed");
  });

  test("a node that is deleted", async () => {
    const cluster = await calicoLab({ options: { encapsulation: "VXLAN" } });
    cluster.delete("Node", "node-b");
    await cluster.settled();
    expect(clusterRoutes(cluster, "node-a").join("\n")).not.toContain(`${B}/26`);
    expect(neighboursText(initNs(cluster, "node-a"))).not.toContain(`${B} `);
  });
});

test("tunnels' addresses are IPAM's, under handles of their own", async () => {
  const cluster = await calicoLab({ options: { encapsulation: "IPIP", wireguard: true } });
  const annotations = cluster.api.get("Node", "node-a")?.metadata.annotations ?? {};
  expect(annotations["projectcalico.org/IPv4Address"]).toBe("172.18.0.2/16");
  expect(annotations["projectcalico.org/IPv4IPIPTunnelAddr"]).toBe(A);
  expect(annotations["projectcalico.org/IPv4VXLANTunnelAddr"]).toBeUndefined();
  expect(annotations["projectcalico.org/IPv4WireguardInterfaceAddr"]).toMatch(/^10\.244\.174\./);
  const handles = cluster.api.list("IPAMHandle.projectcalico.org").map((h) => h.spec.handleID);
  expect(handles).toEqual(
    expect.arrayContaining(["ipip-tunnel-addr-node-a", "wireguard-tunnel-addr-node-a"]),
  );
});

function wireguardAddress(cluster: Cluster, node: string): string | undefined {
  const { annotations } = cluster.api.get("Node", node)?.metadata ?? {};
  return annotations?.["projectcalico.org/IPv4WireguardInterfaceAddr"];
}

function initNs(cluster: Cluster, node: string) {
  const netns = cluster.nodes.get(node)?.kernel.initNs;
  if (netns === undefined) throw new Error(`no ${node}`);
  return netns;
}

function inBlock(address: string, cidr: string | undefined): boolean {
  const [base = "", bits = "0"] = (cidr ?? "").split("/");
  const number = (text: string) => text.split(".").reduce((n, part) => n * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  return (
    cidr !== undefined && Math.floor(number(address) / size) === Math.floor(number(base) / size)
  );
}
