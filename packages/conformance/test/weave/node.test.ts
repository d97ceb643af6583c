// What Weave makes of a node, and keeps.
import type { KubeObject } from "@cnilab/core";
import { socketsText } from "@cnilab/inspect";
import { TcpListener, type Veth } from "@cnilab/linux";
import { formatMac } from "@cnilab/net";
import { cidrs } from "@cnilab/weave";
import { describe, expect, test } from "vitest";
import { hostOf, pod, verdict } from "../lab.ts";
import { agentOf, neighbours, weaveLab } from "./lab.ts";

describe.each([
  ["fastdp", {}, 1376, "vethwe-datapath"],
  ["sleeve", { fastdp: false }, 65_535, "vethwe-pcap"],
  ["another MTU", { mtu: 8916 }, 8916, "vethwe-datapath"],
])("%s", (_, options, mtu, peer) => {
  test("devices and their settings", () => {
    const cluster = weaveLab({ nodes: 1, options, objects: [pod("a", "node1")] });
    const host = hostOf(cluster, "node1");
    const bridge = host.device("weave");
    expect(formatMac(bridge.mac)).toBe(agentOf(cluster, "node1").weaver?.allocator.name);
    expect([bridge.mtu, agentOf(cluster, "node1").mtu]).toEqual([mtu, mtu]);
    const port = host.device("vethwe-bridge");
    expect(port.master).toBe(bridge);
    expect((port as Veth).peer?.name).toBe(peer);
    for (const [name, value] of [
      ["net/ipv4/neigh/weave/base_reachable_time", 5],
      ["net/ipv4/neigh/weave/delay_first_probe_time", 2],
      ["net/ipv4/neigh/weave/ucast_solicit", 1],
      ["net/ipv6/conf/weave/accept_ra", 0],
    ] as const) {
      expect([name, host.sysctl.get(name)]).toEqual([name, value]);
    }
    const veth = host.devices.find(({ name }) => name.startsWith("vethwepl"));
    expect(veth?.name).toMatch(/^vethwepl[0-9a-f]{7}$/);
    expect([veth?.mtu, veth?.bridgePort?.hairpin]).toEqual([mtu, true]);
    const sandbox = (veth as Veth).peer?.netns;
    expect(sandbox?.iptables(4).list("filter", "INPUT")).toEqual([
      "-P INPUT ACCEPT",
      "-A INPUT -s 10.32.0.0/12 -d 224.0.0.0/4 -i eth0 -j ACCEPT",
      "-A INPUT -d 224.0.0.0/4 -i eth0 -j DROP",
    ]);
  });
});

test("rules that somebody flushes come again within ten seconds", () => {
  const cluster = weaveLab({ nodes: 2, objects: [pod("a", "node1"), pod("b", "node2")] });
  const iptables = hostOf(cluster, "node1").iptables(4);
  const before = ["filter", "nat"].map((table) =>
    iptables.list(table).filter((l) => /weave/i.test(l)),
  );
  const ours = (chain: string) => iptables.list("filter", chain).filter((l) => l.includes("weave"));
  const rules = ours("FORWARD");
  expect(rules.length).toBeGreaterThan(4);
  iptables.flush("filter", "FORWARD");
  iptables.flush("nat", "WEAVE");
  cluster.clock.advance(30_000);
  // The canary sings still: nobody has seen it.
  expect(ours("FORWARD")).toEqual([]);
  iptables.deleteChain("mangle", "WEAVE-CANARY");
  cluster.clock.advance(11_000);
  expect(ours("FORWARD")).toEqual(rules);
  expect(
    ["filter", "nat"].map((table) =>
      iptables
        .list(table)
        .filter((l) => /weave/i.test(l))
        .sort(),
    ),
  ).toEqual(before.map((lines) => lines.sort()));
  expect(verdict(cluster, "default/a", "default/b")).toBe("allowed");
});

test("the set of ranges that keep their source follows the ring", () => {
  const cluster = weaveLab({ nodes: 3 });
  const members = (node: string) =>
    hostOf(cluster, node)
      .ipsets.run("save weaver-no-masq-local")
      .split("\n")
      .flatMap((line) => /^add \S+ (\S+)/.exec(line)?.[1] ?? []);
  const owned = (node: string) =>
    agentOf(cluster, node).weaver?.allocator.ring.ownedRanges().flatMap(cidrs).map(String) ?? [];
  for (const node of ["node1", "node2", "node3"]) {
    expect(members(node).length).toBeGreaterThan(0);
    expect(members(node).toSorted()).toEqual(owned(node).toSorted());
  }
  const before = [...members("node1"), ...members("node2")].length;
  cluster.delete("Node", "node3");
  cluster.clock.advance(20_000);
  expect([...members("node1"), ...members("node2")].length).toBeGreaterThan(before);
});

test("a request from outside to a pod of the node keeps its source", () => {
  const service = (externalTrafficPolicy: string): KubeObject =>
    ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "default" },
      spec: {
        type: "NodePort",
        externalTrafficPolicy,
        selector: { app: "web" },
        ports: [{ port: 80, targetPort: 8080, nodePort: 30080 }],
      },
    }) as KubeObject;
  const seen = (policy: string, options = {}) => {
    const objects = [pod("web", "node1", { labels: { app: "web" } }), service(policy)];
    const cluster = weaveLab({ nodes: 2, options, objects });
    const [from, to] = ["node/node2", "node/node1"].map((text) => cluster.endpoint(text));
    const { seenAs, reason } = cluster.connect({ from, to, port: 30080 } as never);
    return seenAs ?? reason;
  };
  const kept = seen("Local");
  expect(kept).toBe("192.168.0.12");
  expect(seen("Local", { "no-masq-local": false })).toMatch(/^10\.(3[2-9]|4[0-7])\./);
  expect(seen("Cluster")).not.toBe(kept);
});

test("weave-npc that is killed programs anew what policies say by then", () => {
  const cluster = weaveLab({
    nodes: 2,
    objects: [pod("a", "node1"), pod("b", "node2", { labels: { app: "b" } })],
  });
  const policy = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "none", namespace: "default" },
    spec: { podSelector: { matchLabels: { app: "b" } }, policyTypes: ["Ingress"] },
  } as KubeObject;
  const npc = cluster.nodes.get("node2")?.policy;
  npc?.stop();
  cluster.apply([policy]);
  cluster.settle();
  expect(verdict(cluster, "default/a", "default/b")).toBe("allowed");
  npc?.start();
  cluster.settle();
  cluster.forgetConnections();
  expect(verdict(cluster, "default/a", "default/b")).toBe("blocked");
  npc?.stop();
  cluster.delete("NetworkPolicy", "default/none");
  npc?.start();
  cluster.settle();
  expect(verdict(cluster, "default/a", "default/b")).toBe("allowed");
});

test("a range that holds the nodes' own network keeps weaver from starting, with the reason", () => {
  const node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "node1" },
    status: { addresses: [{ type: "InternalIP", address: "10.40.0.7" }] },
  } as KubeObject;
  const cluster = weaveLab({ objects: [node, pod("a", "node1")] });
  expect(cluster.warnings).toEqual([
    expect.stringMatching(
      /^node1 is NotReady: weaver: Network 10\.32\.0\.0\/12 overlaps with existing route 10\.40\.0\.0\/16 on host$/,
    ),
  ]);
});

test("a port that somebody has keeps weaver from starting, until it is free", () => {
  const cluster = weaveLab({ nodes: 2, objects: [pod("a", "node1")] });
  const agent = agentOf(cluster, "node1");
  const host = hostOf(cluster, "node1");
  agent.stop();
  const held = new TcpListener(host, { port: 6782, owner: "somebody" });
  agent.start();
  cluster.clock.advance(60_000);
  expect([agent.weaver, agent.problem]).toEqual([undefined, expect.stringContaining("EADDRINUSE")]);
  expect(neighbours(cluster, "node2")).toEqual([]);
  held.close();
  cluster.clock.advance(120_000);
  expect(neighbours(cluster, "node2")).toEqual(["node1"]);
  const listening = (port: number) => socketsText(host).includes(`:${port} `);
  expect([6782, 6783, 6784].map(listening)).toEqual([true, true, true]);
});
