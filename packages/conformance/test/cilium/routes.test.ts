import type { NodeAgent } from "@cnilab/core";
import { Wireguard } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { hostOf, node, pod, routesOf, verdict } from "../lab.ts";
import { ciliumLab } from "./lab.ts";

const DIRECT = { routingMode: "native", autoDirectNodeRoutes: true } as const;

/** Routes to pods' ranges; the router of node-a is written as ROUTER. */
function podRoutes(lines: readonly string[]): string[] {
  const router = /^([\d.]+) dev cilium_host/m.exec(lines.join("\n"))?.[1] ?? "";
  return lines
    .filter((line) => line.startsWith("10.244."))
    .map((line) => line.replaceAll(router, "ROUTER").replace(/lxc[0-9a-f]{12}/, "lxcX"));
}

describe("routes of node-a", () => {
  test.each<[string, Readonly<Record<string, string | boolean>>, string[]]>([
    [
      "by tunnels",
      {},
      [
        "10.244.0.0/24 via ROUTER dev cilium_host proto kernel src ROUTER",
        "ROUTER dev cilium_host proto kernel scope link",
        "10.244.1.0/24 via ROUTER dev cilium_host proto kernel src ROUTER mtu 1450",
      ],
    ],
    [
      "by tunnels with WireGuard",
      { "encryption.enabled": true, "encryption.type": "wireguard" },
      [
        "10.244.0.0/24 via ROUTER dev cilium_host proto kernel src ROUTER",
        "ROUTER dev cilium_host proto kernel scope link",
        "10.244.1.0/24 via ROUTER dev cilium_host proto kernel src ROUTER mtu 1370",
      ],
    ],
    [
      "by the nodes",
      DIRECT,
      [
        "10.244.0.0/24 via ROUTER dev cilium_host proto kernel src ROUTER",
        "ROUTER dev cilium_host proto kernel scope link",
        "10.244.1.0/24 via 172.18.0.3 dev eth0 proto kernel",
      ],
    ],
    [
      "to what the network knows",
      { routingMode: "native" },
      [
        "10.244.0.0/24 via ROUTER dev cilium_host proto kernel src ROUTER",
        "ROUTER dev cilium_host proto kernel scope link",
      ],
    ],
    [
      "one a pod",
      { "endpointRoutes.enabled": true },
      [
        "ROUTER dev cilium_host proto kernel scope link",
        "10.244.0.172 dev lxc_health proto kernel scope link",
        "10.244.0.174 dev lxcX proto kernel scope link",
        "10.244.1.0/24 via ROUTER dev cilium_host proto kernel src ROUTER mtu 1450",
      ],
    ],
  ])("%s", (_, options, expected) => {
    const cluster = ciliumLab({ options, nodes: ["172.18.0.2", "172.18.0.3"] });
    expect(podRoutes(routesOf(cluster, "node-a"))).toEqual(expected);
  });

  test("IPv6 has no next hop of its own", () => {
    const cluster = ciliumLab({ ipFamilies: [6], nodes: ["fd00:172::2", "fd00:172::3"] });
    const lines = routesOf(cluster, "node-a", { family: 6 }).filter((l) => l.includes("/64"));
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^fd00:10:244:1::\/64 dev cilium_host proto kernel src fd00:10:244::[0-9a-f]+ metric 1024 mtu 1430/,
      ),
    );
  });
});

function agentOf(cluster: ReturnType<typeof ciliumLab>, name: string): NodeAgent {
  const agent = cluster.nodes.get(name)?.agents.find((a) => a.name === "cilium-agent");
  if (agent === undefined) throw new Error(`no agent on ${name}`);
  return agent;
}

test.each([
  [true, []],
  [
    false,
    [expect.stringContaining("route to destination 172.19.0.4 contains gateway 192.168.0.1")],
  ],
])("a node behind a router gets no route of its own; skipped %s", (skip, warnings) => {
  const cluster = ciliumLab({
    options: { ...DIRECT, directRoutingSkipUnreachable: skip },
    nodes: ["172.18.0.2", "172.18.0.3", "172.19.0.4"],
  });
  const host = hostOf(cluster, "node-a");
  host.deleteRoute({ dst: parsePrefix("172.19.0.0/16") });
  agentOf(cluster, "node-a").stop();
  agentOf(cluster, "node-a").start();
  cluster.settle();
  const lines = routesOf(cluster, "node-a");
  expect(lines).toContainEqual("10.244.1.0/24 via 172.18.0.3 dev eth0 proto kernel");
  expect(lines.filter((line) => line.startsWith("10.244.2.0/24"))).toEqual([]);
  expect(agentOf(cluster, "node-a").warnings).toEqual(warnings);
});

test("native routing that nobody does is told of", () => {
  const alone = ciliumLab({ options: { routingMode: "native" } });
  expect(alone.warnings).toContainEqual(expect.stringContaining("autoDirectNodeRoutes=true"));
  expect(verdict(alone, "a1", "b1")).toBe("unreachable");
  expect(ciliumLab({ options: DIRECT }).warnings).toEqual([]);
});

test("nodes come and go", () => {
  const cluster = ciliumLab({ nodes: ["172.18.0.2", "172.18.0.3"] });
  cluster.apply([node("node-c", "172.18.0.4"), pod("c1", "node-c")]);
  cluster.settle();
  expect(verdict(cluster, "a1", "c1")).toBe("allowed");
  expect(routesOf(cluster, "node-a").join("\n")).toContain("10.244.2.0/24 via");
  cluster.delete("Node", "node-c");
  cluster.settle();
  expect(routesOf(cluster, "node-a").join("\n")).not.toContain("10.244.2.0/24");
  expect(cluster.api.list("CiliumNode.cilium.io").map((n) => n.metadata.name)).toEqual([
    "node-a",
    "node-b",
  ]);
  cluster.apply([node("node-d", "172.18.0.5"), pod("d1", "node-d")]);
  cluster.settle();
  expect(verdict(cluster, "a1", "d1")).toBe("allowed");
});

describe("WireGuard", () => {
  const options = { "encryption.enabled": true, "encryption.type": "wireguard" };

  test.each([
    ["tunnels: nodes alone", {}, ["172.18.0.3/32"]],
    ["native routing: also what is behind them", DIRECT, ["172.18.0.3/32", "10.244.1.0/24"]],
  ])("%s", (_, more, allowed) => {
    const cluster = ciliumLab({
      options: { ...options, ...more },
      nodes: ["172.18.0.2", "172.18.0.3"],
    });
    const dev = hostOf(cluster, "node-a").device("cilium_wg0") as Wireguard;
    expect(dev).toBeInstanceOf(Wireguard);
    expect(dev.mtu).toBe(1420);
    const [peer, ...others] = [...dev.peers];
    expect(others).toEqual([]);
    expect(peer?.endpoint).toEqual({ address: parseIp("172.18.0.3"), port: 51871 });
    expect(peer?.allowedIps.map(String)).toEqual(expect.arrayContaining(allowed));
    const b = cluster.api.get("CiliumNode.cilium.io", "node-b");
    expect(b?.metadata.annotations?.["network.cilium.io/wg-pub-key"]).toBe(peer?.publicKey);
    expect(b?.spec.encryption).toEqual({ key: 255 });
    expect(verdict(cluster, "a1", "b1")).toBe("allowed");
  });

  test("nodes that lose it encrypt nothing", () => {
    expect(hostOf(ciliumLab(), "node-a").findDevice("cilium_wg0")).toBeUndefined();
  });
});
