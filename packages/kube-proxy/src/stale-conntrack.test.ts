import type { KubeObject, Node, ServiceSpec } from "@cnilab/core";
import { exchange } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { service, slice } from "../test/objects.ts";
import { RecordingNetwork } from "../test/vectors/recording-network.ts";
import { DEFAULT_CONFIG, type KubeProxyMode } from "./config.ts";
import { StandAloneKubeProxy } from "./stand-alone.ts";

const BOTH = ["10.244.1.10", "10.244.2.10"];
const BOTH6 = ["fd00:10:244:1::10", "fd00:10:244:2::10"];
const PORTS = [
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "dns-tcp", port: 53, protocol: "TCP" },
] as const;
const SERVICE_PORTS: NonNullable<ServiceSpec["ports"]> = [
  { name: "dns", protocol: "UDP", port: 53, nodePort: 30_053 },
  { name: "dns-tcp", protocol: "TCP", port: 53 },
];

const NODE1: Node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node1" },
  status: { addresses: [{ type: "InternalIP", address: "192.168.100.11" }] },
};

function dns(endpoints: readonly string[], spec: Partial<ServiceSpec> = {}): KubeObject[] {
  const ip = endpoints[0]?.includes("::") ? "fd00:10:96::a" : "10.96.0.10";
  return [
    NODE1,
    service(
      "dns",
      { type: "LoadBalancer", clusterIP: ip, ports: SERVICE_PORTS, ...spec },
      { ingress: ["203.0.113.10"] },
    ),
    slice("dns", PORTS, endpoints),
  ];
}

/** A network with both pods, and kube-proxy on node1. */
function start(pods: readonly string[], mode: KubeProxyMode = "iptables") {
  const network = new RecordingNetwork(dns(pods), 1, 1);
  const proxy = new StandAloneKubeProxy(network.node1, "node1", {
    ...DEFAULT_CONFIG,
    mode,
    clusterCIDRs: ["10.244.0.0/16", "fd00:10:244::/48"],
  });
  /** Who answers a datagram from this client's one port. */
  const ask = (from: string, to: string, port: number): string | undefined => {
    const client = network.clients.get(from);
    if (client === undefined) throw new RangeError(from);
    const request = { protocol: IPPROTO_UDP, dst: parseIp(to), port, srcPort: 40_000 };
    return exchange(client, request).report?.owner;
  };
  return { network, proxy, ask };
}

describe.each(["iptables", "nftables"] as const)("in mode %s", (mode) => {
  test.each([
    ["the cluster IP", BOTH, "pod-on-node1", "10.96.0.10", 53],
    ["the cluster IP, IPv6", BOTH6, "pod-on-node1", "fd00:10:96::a", 53],
    ["the cluster IP, from the node", BOTH, "node1", "10.96.0.10", 53],
    ["an external IP", BOTH, "client", "198.51.100.80", 53],
    ["a load balancer's IP", BOTH, "client", "203.0.113.10", 53],
    ["the node port", BOTH, "client", "192.168.100.11", 30_053],
  ])(
    "a client that keeps sending to %s is moved when its endpoint goes",
    (_name, pods, from, to, port) => {
      const { proxy, ask } = start(pods, mode);
      const spec = { externalIPs: ["198.51.100.80"] };
      proxy.apply(dns(pods, spec));
      const first = ask(from, to, port);
      const again = Array.from({ length: 8 }, () => ask(from, to, port));
      expect(new Set(again)).toEqual(new Set([first]));
      const [left, other] = first === "p1-10" ? [pods[1], "p2-10"] : [pods[0], "p1-10"];
      proxy.apply(dns([left as string], spec));
      expect(ask(from, to, port)).toBe(other);
    },
  );
});

test.each([
  ["that is gone loses its client", [], "moved"],
  ["that ends but still serves keeps its client", ["~"], "stays"],
  ["that does not serve any more loses its client", ["%"], "moved"],
])("an endpoint %s", (_name, [state], expected) => {
  const { proxy, ask } = start(BOTH);
  proxy.apply(dns(BOTH));
  const first = ask("pod-on-node1", "10.96.0.10", 53);
  const after = BOTH.flatMap((ip) => {
    const own = first === (ip === BOTH[0] ? "p1-10" : "p2-10");
    if (!own) return [ip];
    return state === undefined ? [] : [`${ip}${state}`];
  });
  proxy.apply(dns(after));
  expect(ask("pod-on-node1", "10.96.0.10", 53) === first ? "stays" : "moved").toBe(expected);
});

test("a client that sent before there was a Service reaches it afterwards", () => {
  const { proxy, ask } = start(BOTH);
  proxy.apply([]);
  expect(ask("pod-on-node1", "10.96.0.10", 53)).toBeUndefined();
  proxy.apply(dns(BOTH));
  expect(ask("pod-on-node1", "10.96.0.10", 53)).toMatch(/^p[12]-10$/);
});

test("a new address of a Service alone moves nobody: that waits for a change of endpoints", () => {
  const { proxy, ask } = start(BOTH);
  proxy.apply(dns(BOTH));
  expect(ask("client", "198.51.100.80", 53)).toBeUndefined();
  const spec = { externalIPs: ["198.51.100.80"] };
  proxy.apply(dns(BOTH, spec));
  expect(ask("client", "198.51.100.80", 53)).toBeUndefined();
  proxy.apply(dns(["10.244.1.10"], spec));
  expect(ask("client", "198.51.100.80", 53)).toBe("p1-10");
});

test("only UDP connections to endpoints that are gone end", () => {
  const { network, proxy, ask } = start(BOTH);
  const client = network.clients.get("pod-on-node1") as RecordingNetwork["node1"];
  proxy.apply(dns(BOTH));
  for (let i = 0; i < 16; i++) {
    for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
      exchange(client, { protocol, dst: parseIp("10.96.0.10"), port: 53 });
    }
  }
  ask("pod-on-node1", "10.244.2.10", 53);
  const count = (protocol: number, service: string, pod: string) =>
    [...(network.node1.conntrack?.entries() ?? [])].filter(
      (e) =>
        e.protocol === protocol &&
        formatIp(e.original.dst) === service &&
        formatIp(e.reply.src) === pod,
    ).length;
  const before = {
    tcp: count(IPPROTO_TCP, "10.96.0.10", "10.244.2.10"),
    served: count(IPPROTO_UDP, "10.96.0.10", "10.244.1.10"),
    stale: count(IPPROTO_UDP, "10.96.0.10", "10.244.2.10"),
  };
  expect(Math.min(before.tcp, before.served, before.stale)).toBeGreaterThan(0);
  proxy.apply(dns(["10.244.1.10"]));
  expect(count(IPPROTO_TCP, "10.96.0.10", "10.244.2.10")).toBe(before.tcp);
  expect(count(IPPROTO_UDP, "10.96.0.10", "10.244.1.10")).toBe(before.served);
  expect(count(IPPROTO_UDP, "10.96.0.10", "10.244.2.10")).toBe(0);
  // Not sent to the Service.
  expect(count(IPPROTO_UDP, "10.244.2.10", "10.244.2.10")).toBe(1);
});

test("connections to a Service that has no endpoint left stay", () => {
  const { proxy, ask, network } = start(BOTH);
  proxy.apply(dns(BOTH));
  ask("pod-on-node1", "10.96.0.10", 53);
  proxy.apply(dns([]));
  expect([...(network.node1.conntrack?.entries() ?? [])].length).toBe(1);
});
