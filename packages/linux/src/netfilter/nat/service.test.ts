import {
  IPPROTO_ICMP,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  parseIp,
  type TcpSegment,
} from "@cnilab/net";
import { beforeEach, describe, expect, test } from "vitest";
import { connect, forwarding, Lab, outcome, ping, routes, serve, up } from "../../../test/lab.ts";
import { Bridge } from "../../bridge/bridge.ts";
import { Veth } from "../../device/veth.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import {
  type HookState,
  NF_ACCEPT,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  type NfVerdict,
} from "../hooks.ts";
import { dnat, masquerade, registerNat } from "../nat.ts";

// Two nodes with a bridge and two pods each, as bridge CNIs build them, and the rules of a proxy: the service
// 10.96.0.10 port 80 (IPv6 fd00:96::a) is pod `backend`, port 8080, and node port 30080 as well.
const SERVICE = "10.96.0.10";
const SERVICE6 = "fd00:96::a";
let lab: Lab;
let node1: NetNamespace;
let node2: NetNamespace;
let pods: Record<string, NetNamespace>;
let backend: string;
let backend6: string;

beforeEach(() => {
  lab = new Lab();
  node1 = lab.host("node1", "192.168.0.1/24", "fd00:1::1/64");
  node2 = lab.host("node2", "192.168.0.2/24", "fd00:1::2/64");
  pods = {};
  for (const [n, node] of [node1, node2].entries()) {
    const subnet = n + 1;
    forwarding(node);
    const bridge = new Bridge(node, { name: "cni0" });
    up(bridge, `10.244.${subnet}.1/24`, `fd00:10:${subnet}::1/64`);
    for (const host of [2, 3]) {
      const pod = node.kernel.addNamespace(`pod${host}`);
      pod.loopback.setUp();
      const [port, eth0] = Veth.pair(node, { name: `veth${host}` }, pod, { name: "eth0" });
      port.setUp();
      port.setMaster(bridge);
      if (port.bridgePort !== undefined) port.bridgePort.hairpin = true;
      up(eth0, `10.244.${subnet}.${host}/24`, `fd00:10:${subnet}::${host}/64`);
      routes(pod, `0.0.0.0/0 via 10.244.${subnet}.1`, `::/0 via fd00:10:${subnet}::1`);
      pods[`pod${subnet}${host}`] = pod;
    }
    const peer = 2 - n;
    routes(
      node,
      `10.244.${peer}.0/24 via 192.168.0.${peer}`,
      `fd00:10:${peer}::/64 via fd00:1::${peer}`,
      "0.0.0.0/0 via 192.168.0.254",
      "::/0 via fd00:1::fe",
    );
    proxy(node, subnet);
  }
  setBackend(1, 3);
});

function setBackend(subnet: number, host: number): void {
  backend = `10.244.${subnet}.${host}`;
  backend6 = `fd00:10:${subnet}::${host}`;
  const netns = pod(`pod${subnet}${host}`);
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP]) serve(netns, 8080, protocol);
}

function pod(name: string): NetNamespace {
  const netns = pods[name];
  if (netns === undefined) throw new RangeError(name);
  return netns;
}

/** Rules that do what kube-proxy's do, cluster CIDR by node. */
function proxy(node: NetNamespace, subnet: number): void {
  const MASQUERADE_MARK = 0x4000;
  const services = (skb: Skb, state: HookState): NfVerdict => {
    const { dst, src } = skb.ip;
    const port = (skb.ip.payload as Partial<TcpSegment>).dstPort;
    const toService = (dst === parseIp(SERVICE) || dst === parseIp(SERVICE6)) && port !== 30080;
    const toNode = port === 30080 && node.hasAddress(dst);
    if (!toService && !toNode) return NF_ACCEPT;
    const to = typeof dst === "number" ? backend : backend6;
    const fromPod = isPodOf(src, subnet);
    // Node ports, clients that are no pods, and a pod that reaches itself are masqueraded.
    if (toNode || !fromPod || src === parseIp(to)) skb.mark |= MASQUERADE_MARK;
    return dnat(skb, state, { minAddress: parseIp(to), minPort: 8080 });
  };
  for (const family of [4, 6] as const) {
    node.requireConntrack(family);
    for (const hook of [NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT] as const) {
      registerNat(node, family, hook, { name: "services", priority: 0, run: services });
    }
    registerNat(node, family, NF_INET_POST_ROUTING, {
      name: "postrouting",
      priority: 0,
      run: (skb, state) =>
        (skb.mark & MASQUERADE_MARK) !== 0
          ? masquerade(skb, state, { fullyRandom: true })
          : NF_ACCEPT,
    });
  }
}

function isPodOf(address: IpAddress, subnet: number): boolean {
  return typeof address === "number"
    ? address >>> 8 === (parseIp(`10.244.${subnet}.0`) as number) >>> 8
    : address.a === 0xfd000010 && address.b >>> 16 === subnet;
}

const PROTOCOLS = [
  ["TCP", IPPROTO_TCP],
  ["UDP", IPPROTO_UDP],
  ["SCTP", IPPROTO_SCTP],
] as const;

// The client, the address it uses and its port, and whom the backend sees.
const PATHS: [name: string, client: () => NetNamespace, to: string, port: number, seen: string][] =
  [
    ["a pod on the same bridge", () => pod("pod12"), SERVICE, 80, "10.244.1.2"],
    ["the backend itself, by hairpin", () => pod("pod13"), SERVICE, 80, "10.244.1.1"],
    ["a pod on another node", () => pod("pod22"), SERVICE, 80, "10.244.2.2"],
    ["the node of the backend", () => node1, SERVICE, 80, "10.244.1.1"],
    ["another node", () => node2, SERVICE, 80, "192.168.0.2"],
    ["a pod on the same bridge", () => pod("pod12"), SERVICE6, 80, "fd00:10:1::2"],
    ["a pod on another node", () => pod("pod22"), SERVICE6, 80, "fd00:10:2::2"],
    ["another node", () => node2, SERVICE6, 80, "fd00:1::2"],
  ];

describe.each(PROTOCOLS)("%s to a service", (_, protocol) => {
  test.each(PATHS)("from %s", (_name, client, to, port, seen) => {
    const result = connect(client(), to, port, { protocol });
    expect(outcome(result)).toBe("connected");
    expect(result.report?.seenAddress).toBe(parseIp(seen));
    expect(result.report?.netns).toBe(pod("pod13"));
  });
});

test("a node port from outside is masqueraded, on the node of the backend and on another", () => {
  const outside = lab.host("outside", "192.168.0.99/24");
  for (const [address, seen] of [
    ["192.168.0.1", "10.244.1.1"],
    ["192.168.0.2", "192.168.0.2"],
  ] as const) {
    const result = connect(outside, address, 30080);
    expect(result.outcome).toBe("connected");
    expect(result.report?.seenAddress).toBe(parseIp(seen));
  }
});

test("bridged pods reach each other without NAT, tracked once by the bridge", () => {
  const result = ping(pod("pod12"), "10.244.1.3");
  expect(result.outcome).toBe("connected");
  expect([...(node1.conntrack?.entries() ?? [])].map((e) => e.protocol)).toEqual([IPPROTO_ICMP]);
});

test("without br_netfilter an answer on the same bridge goes past NAT, and the client does not know it", () => {
  node1.sysctl.set("net.bridge.bridge-nf-call-iptables", 0);
  const result = connect(pod("pod12"), SERVICE, 80);
  expect(result.outcome).not.toBe("connected");
  expect(connect(pod("pod22"), SERVICE, 80).outcome).toBe("connected");
});

test("a path MTU message finds through DNAT to the client, which then sends less", () => {
  node1.device("veth3").setMtu(1400);
  pod("pod13").device("eth0").setMtu(1400);
  node1.device("cni0").setMtu(1400);
  const client = pod("pod22");
  const result = connect(client, SERVICE, 80, { protocol: IPPROTO_UDP, length: 1472 });
  expect(outcome(result)).toBe("connected");
  // The client learned it for the address that it used.
  expect([...client.pathMtus].map(([address, { mtu }]) => [address, mtu])).toEqual([
    [parseIp(SERVICE), 1400],
  ]);
});

test("TCP data that is too long for the path gets through DNAT after a path MTU message", () => {
  for (const node of [node1, node2]) node.device("eth0").setMtu(1300);
  expect(outcome(connect(pod("pod22"), SERVICE, 80))).toBe("connected");
  expect(pod("pod22").pathMtus.get(parseIp(SERVICE))?.mtu).toBe(1300);
  expect(pod("pod13").pathMtus.get(parseIp("10.244.2.2"))?.mtu).toBe(1300);
});

test("connections live in both namespaces that see them", () => {
  connect(pod("pod22"), SERVICE, 80, { protocol: IPPROTO_UDP });
  const at = (node: NetNamespace) =>
    [...(node.conntrack?.entries() ?? [])].map(({ original, reply }) => [original.dst, reply.src]);
  expect(at(node2)).toEqual([[parseIp(SERVICE), parseIp(backend)]]);
  expect(at(node1)).toEqual([[parseIp(backend), parseIp(backend)]]);
});
