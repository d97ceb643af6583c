import {
  formatIp,
  type IcmpMessage,
  IPPROTO_UDP,
  type IpPacket,
  parseIp,
  parsePrefix,
  type QuotedPacket,
  type UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  cable,
  connect,
  forwarding,
  Lab,
  outcome,
  ping,
  routes,
  serve,
  up,
} from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Trace } from "../trace.ts";
import { Wireguard, type WireguardPeer, WireguardPeerLayer } from "./wireguard.ts";

// kernel drivers/net/wireguard; wireguard.com "Cryptokey Routing"

/** Machines h1 and h2 (10.0.0.N) with wg0 (10.1.0.N, fd01::N), each the other's peer. */
function paired(change: (n: number, peer: WireguardPeer) => Partial<WireguardPeer> = () => ({})) {
  const lab = new Lab();
  const sides = [1, 2].map((n) => {
    const host = lab.host(`h${n}`, `10.0.0.${n}/24`);
    const wg = up(
      new Wireguard(host, { name: "wg0", publicKey: `key${n}` }),
      `10.1.0.${n}/32`,
      `fd01::${n}/128`,
    );
    routes(host, "10.1.0.0/24 dev wg0", "fd01::/64 dev wg0");
    const peer: WireguardPeer = {
      publicKey: `key${3 - n}`,
      endpoint: { address: parseIp(`10.0.0.${3 - n}`), port: 51820 },
      allowedIps: [parsePrefix(`10.1.0.${3 - n}/32`), parsePrefix(`fd01::${3 - n}/128`)],
      persistentKeepalive: 0,
    };
    wg.setPeer({ ...peer, ...change(n, peer) });
    return { host, wg };
  });
  const [one, two] = sides as [(typeof sides)[0], (typeof sides)[0]];
  return { lab, h1: one.host, h2: two.host, w1: one.wg, w2: two.wg };
}

test.each(["10.1.0.2", "fd01::2"])("both sides know each other: %s", (to) => {
  const { h1, h2 } = paired();
  expect(outcome(ping(h1, to))).toBe("connected");
  serve(h2, 80);
  expect(outcome(connect(h1, to, 80))).toBe("connected");
});

test("the outer packet is UDP between the endpoints, 32 bytes longer and padded", () => {
  const { h1 } = paired();
  const trace = new Trace();
  ping(h1, "10.1.0.2", { trace, length: 56 });
  const sent = trace.steps.find((s) => s.kind === "decapsulate");
  const outer = sent?.kind === "decapsulate" ? sent.outer : undefined;
  const datagram = outer?.payload as UdpDatagram;
  expect(
    outer && [formatIp(outer.src), formatIp(outer.dst), datagram.srcPort, datagram.dstPort],
  ).toEqual(["10.0.0.1", "10.0.0.2", 51820, 51820]);
  // 84 bytes of ping, 96 padded, 32 of message, 8 of UDP, 20 of IP
  expect(outer?.length).toBe(156);
});

test("its own packets bear its mark, so that a rule can keep them out of the tunnel", () => {
  const { h1, w1 } = paired();
  const marked = new Wireguard(h1, {
    name: "wg1",
    publicKey: "key1",
    listenPort: 51821,
    fwmark: 0x200000,
  });
  for (const peer of w1.peers) marked.setPeer({ ...peer, allowedIps: [parsePrefix("0.0.0.0/0")] });
  marked.setUp();
  h1.addRoute({ dst: parsePrefix("0.0.0.0/0"), dev: marked, table: 1 });
  const fwmark = { value: 0x200000, mask: 0x200000 };
  h1.fib4.addRule({ priority: 99, not: true, fwmark, action: { table: 1 } });
  const route = (mark: number) => {
    const found = h1.routeGet({ dst: parseIp("10.0.0.2"), mark });
    return typeof found === "string" ? found : found.dst.dev?.name;
  };
  expect([route(0), route(0x200000)]).toEqual(["wg1", "eth0"]);
  const trace = new Trace();
  ping(h1, "10.9.9.9", { trace });
  const sent = trace.steps.find((s) => s.kind === "transmit" && s.dev.name === "eth0");
  expect(sent).toBeDefined();
});

describe("who may send what", () => {
  test.each<[string, (n: number) => Partial<WireguardPeer>, string]>([
    [
      "an address that no peer may have",
      (n) => (n === 1 ? { allowedIps: [] } : {}),
      "unreachable, ENOKEY, WIREGUARD_NO_PEER in h1",
    ],
    [
      "a peer without endpoint",
      (n) => (n === 1 ? { endpoint: undefined } : {}),
      "unreachable, EDESTADDRREQ, WIREGUARD_NO_PEER in h1",
    ],
    [
      "a sender whose key is unknown",
      (n) => (n === 2 ? { publicKey: "key9" } : {}),
      "timeout, WIREGUARD_NO_PEER in h2",
    ],
    [
      "a source that its sender may not have",
      (n) => (n === 2 ? { allowedIps: [parsePrefix("10.1.0.9/32")] } : {}),
      "timeout, WIREGUARD_ALLOWED_IPS in h2",
    ],
  ])("%s", (_, change, expected) => {
    const { h1 } = paired((n) => change(n));
    expect(outcome(ping(h1, "10.1.0.2"))).toBe(expected);
  });

  test("a packet to a closed or another port is lost", () => {
    const { h1, w2 } = paired();
    w2.setDown();
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, NO_SOCKET in h2");
  });

  test("of two peers with one prefix the later has it", () => {
    const { h1, w1 } = paired();
    const nowhere = { address: parseIp("10.0.0.77"), port: 51820 };
    w1.setPeer({
      publicKey: "key9",
      endpoint: nowhere,
      allowedIps: [parsePrefix("10.1.0.2/32")],
      persistentKeepalive: 0,
    });
    expect(ping(h1, "10.1.0.2").unresolved.map((u) => formatIp(u.ip))).toEqual(["10.0.0.77"]);
    w1.removePeer("key9");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
  });

  test("the longest prefix counts", () => {
    const { h1, w1 } = paired();
    w1.setPeer({
      publicKey: "key9",
      endpoint: undefined,
      allowedIps: [parsePrefix("10.1.0.0/16")],
      persistentKeepalive: 0,
    });
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect(outcome(ping(h1, "10.1.0.3"))).toBe(
      "unreachable, EDESTADDRREQ, WIREGUARD_NO_PEER in h1",
    );
  });

  // wg_xmit fails with ENOKEY; TCP does not look at that, and hears of the ICMP message.
  test("TCP hears of the missing peer by ICMP", () => {
    const { h1 } = paired(() => ({ allowedIps: [] }));
    expect(outcome(connect(h1, "10.1.0.2", 80))).toBe(
      "unreachable, EHOSTUNREACH, WIREGUARD_NO_PEER in h1",
    );
  });
});

// icmp_ndo_send, icmpv6_ndo_send; asked of a 6.1 kernel (fuzz:vm, wireguard).
test.each([
  [4, "10.2.0.2", "10.1.0.2", "10.2.0.1"],
  [6, "fd02::2", "fd01::2", "fd02::1"],
] as const)(
  "who is behind NAT hears of the missing peer by the router's near address: IPv%i",
  (family, own, to, from) => {
    const { h1 } = paired(() => ({ allowedIps: [] }));
    const pod = h1.kernel.addNamespace("pod");
    const [veth, eth0] = cable(h1, "veth", pod, "eth0");
    up(veth, "10.2.0.1/24", "fd02::1/64");
    up(eth0, "10.2.0.2/24", "fd02::2/64");
    routes(pod, "0.0.0.0/0 via 10.2.0.1", "::/0 via fd02::1");
    forwarding(h1);
    h1.iptables(family).append("nat", "POSTROUTING", "-o wg0 -j MASQUERADE");
    const trace = new Trace();
    const { error } = connect(pod, to, 53, { protocol: IPPROTO_UDP, trace });
    expect(error && [error.errno, error.from && formatIp(error.from)]).toEqual([
      "EHOSTUNREACH",
      from,
    ]);
    const told = trace.steps.findLast((s) => s.kind === "transmit" && s.netns === h1);
    const quoted = told?.kind === "transmit" ? (told.frame.payload as IpPacket).payload : undefined;
    const about = ((quoted as IcmpMessage).payload as QuotedPacket).packet;
    expect([formatIp(about.src), formatIp(about.dst)]).toEqual([own, to]);
  },
);

test("a peer that roams is answered where it was last heard of", () => {
  const { h1, h2, w2 } = paired((n) =>
    n === 2 ? { endpoint: { address: parseIp("10.0.0.99"), port: 1 } } : {},
  );
  expect([...w2.peers][0]?.endpoint).toEqual({ address: parseIp("10.0.0.99"), port: 1 });
  expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
  expect([...w2.peers][0]?.endpoint).toEqual({ address: parseIp("10.0.0.1"), port: 51820 });
  expect(outcome(ping(h2, "10.1.0.1"))).toBe("connected");
});

test("a device is no peer of itself", () => {
  const { w1 } = paired();
  w1.setPeer({ publicKey: "key1", endpoint: undefined, allowedIps: [], persistentKeepalive: 0 });
  expect([...w1.peers].map((p) => p.publicKey)).toEqual(["key2"]);
  expect(() => w1.removePeer("key1")).toThrow("ENOENT");
});

// drivers/net/wireguard/timers.c, messages.h; the first asked of a 6.1 kernel.
describe("handshakes", () => {
  const port = (netns: NetNamespace, chain: string, target: string) =>
    netns.iptables(4).append("filter", chain, `-p udp --dport 51820 -j ${target}`);

  test.each(["h1", "h2"])("go both ways: nothing is sent where %s takes no packets", (name) => {
    const { h1, h2 } = paired();
    port(name === "h1" ? h1 : h2, "INPUT", "DROP");
    const trace = new Trace();
    expect(outcome(ping(h1, "10.1.0.2", { trace }))).toBe(`timeout, NETFILTER_DROP in ${name}`);
    expect(trace.steps.filter((s) => s.kind === "note").map((s) => s.text)).toEqual([
      "waits for a handshake with peer key2",
    ]);
  });

  test("are asked for again every 5 seconds; what waited goes when one succeeds", () => {
    const { lab, h1, h2, w2 } = paired();
    port(h2, "INPUT", "DROP");
    ping(h1, "10.1.0.2");
    ping(h1, "10.1.0.2");
    h2.iptables(4).flush("filter");
    lab.clock.advance(4999);
    expect(w2.rxPackets).toBe(0);
    lab.clock.advance(1);
    expect(w2.rxPackets).toBe(2);
  });

  test("are given up after 100 seconds, with what waits for them", () => {
    const { lab, h1, h2 } = paired();
    port(h2, "INPUT", "DROP");
    ping(h1, "10.1.0.2");
    lab.clock.advance(99_999);
    lab.network.takeDrops();
    lab.clock.advance(1);
    expect(lab.network.takeDrops().map((d) => d.reason)).toEqual(["WIREGUARD_NO_SESSION"]);
  });

  test("hold for 180 seconds: what comes in later is not known", () => {
    const { lab, h1, h2 } = paired();
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    port(h1, "INPUT", "DROP"); // from now on nothing could be agreed on
    lab.clock.advance(170_000);
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, NETFILTER_DROP in h1");
    h1.iptables(4).flush("filter");
    port(h2, "INPUT", "DROP");
    lab.clock.advance(10_000);
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, NETFILTER_DROP in h2");
    h2.iptables(4).flush("filter");
    lab.clock.advance(5000);
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
  });

  test("are made anew where a peer has forgotten, once it was silent for 15 seconds", () => {
    const { lab, h1, h2, w2 } = paired();
    ping(h1, "10.1.0.2");
    w2.setDown();
    w2.setUp();
    routes(h2, "10.1.0.0/24 dev wg0");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, WIREGUARD_NO_SESSION in h2");
    lab.clock.advance(15_000);
    ping(h1, "10.1.0.2");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
  });

  test("a peer that is removed has to be agreed with again", () => {
    const { h1, w1, w2 } = paired();
    ping(h1, "10.1.0.2");
    const [peer] = w1.peers;
    w1.removePeer("key2");
    w1.setPeer(peer as WireguardPeer);
    w2.removePeer("key1");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, WIREGUARD_NO_PEER in h2");
  });
});

test("a layer of peers takes the place of the device's own, and may be changed afterwards", () => {
  const { h1, w1, w2 } = paired();
  const peers = [w1, w2].map((wg, i) => ({
    publicKey: wg.publicKey,
    endpoint: { address: parseIp(`10.0.0.${i + 1}`), port: 51820 },
    allowedIps: [parsePrefix(`10.1.0.${i + 1}/32`)],
    persistentKeepalive: 0,
  }));
  const layer = new WireguardPeerLayer(peers);
  for (const wg of [w1, w2]) wg.setPeerLayer(layer);
  expect(w1.peerLayer).toBe(layer);
  expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
  expect(outcome(ping(h1, "fd01::2"))).toBe("unreachable, EHOSTUNREACH, WIREGUARD_NO_PEER in h1");
  w1.removePeer("key2");
  expect(w1.peerLayer).toBeUndefined();
  expect(outcome(ping(h1, "10.1.0.2"))).toBe("unreachable, ENOKEY, WIREGUARD_NO_PEER in h1");
  expect([...w2.peers].map((p) => p.publicKey)).toEqual(["key1"]);
});
