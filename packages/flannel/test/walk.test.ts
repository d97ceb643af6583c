import { exchange, startEchoServer, Trace } from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IpPacket,
  NeighbourMessage,
  UdpDatagram,
  VxlanPacket,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { podAddress, TestCluster } from "./test-cluster.ts";

/** What the first packet of a connection has around itself between the nodes. */
function outerHeader(trace: Trace): string {
  for (const step of trace.steps) {
    if (step.kind !== "transmit" || step.dev.name !== "eth0" || step.netns.name !== "") continue;
    const packet = step.frame.payload;
    // Neither ARP nor neighbour discovery.
    if (!(packet instanceof IpPacket) || packet.payload instanceof NeighbourMessage) continue;
    return headerText(packet);
  }
  return "never left the node";
}

function headerText(packet: IpPacket): string {
  const { src, dst, protocol, payload } = packet;
  const ends = `${formatIp(src)} > ${formatIp(dst)}`;
  if (payload instanceof UdpDatagram) {
    const vni = payload.payload instanceof VxlanPacket ? ` vni ${payload.payload.vni}` : "";
    return `${ends} udp ${payload.dstPort}${vni}`;
  }
  return `${ends} proto ${protocol}`;
}

describe.each([
  {
    name: "vxlan",
    backend: { Type: "vxlan" },
    mtu: 1450,
    outer: "192.168.0.11 > 192.168.0.12 udp 8472 vni 1",
  },
  {
    name: "vxlan with VNI, port and MTU",
    backend: { Type: "vxlan", VNI: 77, Port: 4789, MTU: 1400 },
    mtu: 1350,
    outer: "192.168.0.11 > 192.168.0.12 udp 4789 vni 77",
  },
  {
    name: "vxlan, direct",
    backend: { Type: "vxlan", DirectRouting: true },
    mtu: 1450,
    outer: "10.244.1.2 > 10.244.2.2 proto 6",
  },
  {
    name: "host-gw",
    backend: { Type: "host-gw" },
    mtu: 1500,
    outer: "10.244.1.2 > 10.244.2.2 proto 6",
  },
  {
    name: "ipip",
    backend: { Type: "ipip" },
    mtu: 1480,
    outer: "192.168.0.11 > 192.168.0.12 proto 4",
  },
  {
    name: "ipip, direct",
    backend: { Type: "ipip", DirectRouting: true },
    mtu: 1480,
    outer: "10.244.1.2 > 10.244.2.2 proto 6",
  },
  {
    name: "udp",
    backend: { Type: "udp" },
    mtu: 1472,
    outer: "192.168.0.11 > 192.168.0.12 udp 8285",
  },
  {
    name: "wireguard",
    backend: { Type: "wireguard" },
    mtu: 1420,
    outer: "192.168.0.11 > 192.168.0.12 udp 51820",
  },
])("$name", ({ backend, mtu, outer }) => {
  test.each([{ nftables: false }, { nftables: true }])(
    "pod to pod, nftables $nftables",
    ({ nftables }) => {
      const cluster = new TestCluster({ backend, nftables });
      expect(cluster.nodes.map(({ flanneld }) => [flanneld.mtu, flanneld.log])).toEqual([
        [mtu, []],
        [mtu, []],
      ]);
      const [client, server] = cluster.nodes.map((node) => node.pod());
      if (client === undefined || server === undefined) throw new Error("no pods");
      startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "web" });
      const trace = new Trace();
      const result = exchange(client, {
        protocol: IPPROTO_TCP,
        dst: podAddress(2, 4),
        port: 80,
        trace,
      });
      expect([result.outcome, result.report?.seenAddress]).toEqual(["connected", podAddress(1, 4)]);
      expect(outerHeader(trace)).toBe(outer);
    },
  );
});

test.each([
  { backend: { Type: "vxlan" }, outer: "fd50::11 > fd50::12 udp 8472 vni 1" },
  {
    backend: { Type: "vxlan", DirectRouting: true },
    outer: "2001:db8:42:1::2 > 2001:db8:42:2::2 proto 6",
  },
  { backend: { Type: "host-gw" }, outer: "2001:db8:42:1::2 > 2001:db8:42:2::2 proto 6" },
  { backend: { Type: "wireguard" }, outer: "fd50::11 > fd50::12 udp 51821" },
  // one tunnel for both families; the nodes' own addresses are private, so that IPv4 is taken
  { backend: { Type: "wireguard", Mode: "auto" }, outer: "192.168.0.11 > 192.168.0.12 udp 51820" },
  {
    backend: { Type: "wireguard", Mode: "ipv6", ListenPortV6: 51820 },
    outer: "fd50::11 > fd50::12 udp 51820",
  },
])("IPv6 of dual stack through $backend", ({ backend, outer }) => {
  const cluster = new TestCluster({ backend, families: [4, 6] });
  const [client, server] = cluster.nodes.map((node) => node.pod());
  if (client === undefined || server === undefined) throw new Error("no pods");
  startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "web" });
  const trace = new Trace();
  const result = exchange(client, {
    protocol: IPPROTO_TCP,
    dst: podAddress(2, 6),
    port: 80,
    trace,
  });
  expect(outerHeader(trace)).toBe(outer);
  expect(result.report?.seenAddress).toBe(podAddress(1, 6));
});

test("wireguard over IPv6 alone sends to a port that the only device does not listen on", () => {
  const backend = { Type: "wireguard", Mode: "ipv6" };
  const cluster = new TestCluster({ backend, families: [4, 6] });
  const [client] = cluster.nodes.map((node) => node.pod());
  if (client === undefined) throw new Error("no pod");
  const request = { protocol: IPPROTO_TCP, dst: podAddress(2, 4), port: 80 };
  const trace = new Trace();
  expect(exchange(client, { ...request, trace }).outcome).toBe("timeout");
  expect(outerHeader(trace)).toBe("fd50::11 > fd50::12 udp 51821");
});

// A node's own packets to pods elsewhere: whom the pod sees.
test.each([
  { backend: { Type: "vxlan" }, nftables: false, seen: "10.244.1.0" },
  { backend: { Type: "udp" }, nftables: false, seen: "10.244.1.0" },
  { backend: { Type: "ipip" }, nftables: false, seen: "10.244.1.0" },
  { backend: { Type: "wireguard" }, nftables: false, seen: "10.244.1.0" },
  { backend: { Type: "host-gw" }, nftables: false, seen: "192.168.0.11" },
  { backend: { Type: "host-gw" }, nftables: true, seen: "192.168.0.11" },
])(
  "node to pod through $backend is seen as $seen, nftables $nftables",
  ({ backend, nftables, seen }) => {
    const cluster = new TestCluster({ backend, nftables });
    startEchoServer(cluster.node(2).pod(), { protocol: IPPROTO_TCP, port: 80, owner: "web" });
    const from = cluster.node(1).kernel.initNs;
    const result = exchange(from, { protocol: IPPROTO_TCP, dst: podAddress(2, 4), port: 80 });
    expect(formatIp(result.report?.seenAddress ?? 0)).toBe(seen);
  },
);

test("udp's proxy counts as two hops, and says when it knows no way", () => {
  const cluster = new TestCluster({ backend: { Type: "udp" } });
  const client = cluster.node(1).pod();
  const server = cluster.node(2).pod();
  const trace = new Trace();
  const ping = { protocol: IPPROTO_ICMP, port: 0 };
  expect(exchange(client, { ...ping, dst: podAddress(2, 4), trace }).outcome).toBe("connected");
  const ttls = trace.steps.flatMap((step) =>
    step.kind === "receive" && step.netns === server && step.frame.payload instanceof IpPacket
      ? [step.frame.payload.ttl]
      : [],
  );
  // 64, less node1's forwarding, its proxy, node2's proxy, node2's forwarding
  expect(ttls).toEqual([60]);

  // It tells by ICMP from the device's own address, which the kernel takes for a martian (seen on 6.1 too).
  const nowhere = exchange(client, { protocol: IPPROTO_TCP, dst: podAddress(9, 4), port: 80 });
  expect(nowhere.outcome).toBe("timeout");
  expect(nowhere.drops.map((d) => `${d.netns} ${d.dev?.name} ${d.reason}`)).toEqual([
    "node1 flannel0 IP_OUTNOROUTES",
    "node1 flannel0 IP_LOCAL_SOURCE",
  ]);
});
