// Kernel net/ipv4/netfilter/nf_reject_ipv4.c nf_send_unreach, net/ipv6/netfilter/nf_reject_ipv6.c; asked of kernel 6.18.
import {
  Data,
  ETH_P_IP,
  ETH_P_IPV6,
  FragmentPayload,
  ICMP_ECHO,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_UDP,
  IpPacket,
  type Payload,
  parseIp,
  UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  cable,
  connect,
  forwarding,
  Lab,
  listenForFrames,
  ping,
  routes,
  up,
} from "../../test/lab.ts";
import { Vxlan } from "../device/vxlan.ts";
import { Skb } from "../skb.ts";

/** client 10.1.0.2 (fd01::2), a router that forwards, server 10.2.0.2 (fd02::2). */
function routed() {
  const [client, router, server] = new Lab().machine("client", "router", "server");
  const [a, b] = cable(client, "eth0", router, "in0");
  const [c, d] = cable(router, "out0", server, "eth0");
  up(a, "10.1.0.2/24", "fd01::2/64");
  up(b, "10.1.0.1/24", "fd01::1/64");
  up(c, "10.2.0.1/24", "fd02::1/64");
  up(d, "10.2.0.2/24", "fd02::2/64");
  forwarding(router);
  routes(client, "0.0.0.0/0 via 10.1.0.1", "::/0 via fd01::1");
  routes(server, "0.0.0.0/0 via 10.2.0.1", "::/0 via fd02::1");
  return { client, router, server };
}

describe.each([
  ["10.2.0.2", 4],
  ["fd02::2", 6],
] as const)("REJECT of a datagram to %s", (to, family) => {
  test.each([
    ["whole", 100, false, "refused"],
    ["in fragments, whose checksum cannot be checked", 4000, false, "timeout"],
    ["put together by connection tracking", 4000, true, "refused"],
  ])("%s", (_, length, track, expected) => {
    const { client, router } = routed();
    const filter = router.iptables(family);
    if (track) filter.append("filter", "FORWARD", "-m conntrack --ctstate NEW");
    filter.append("filter", "FORWARD", "-p udp -j REJECT");
    const result = connect(client, to, 53, { protocol: IPPROTO_UDP, length });
    expect(result.outcome).toBe(expected);
  });
});

// ip_local_deliver puts fragments together before INPUT; for IPv6 they are a protocol above it (ipv6_frag_rcv).
test.each([
  ["10.2.0.2", 4, false, "refused"],
  ["fd02::2", 6, false, "timeout"],
  ["fd02::2", 6, true, "refused"],
] as const)(
  "REJECT of fragments to %s in INPUT, IPv%i, tracked %s: %s",
  (to, family, track, expected) => {
    const { client, server } = routed();
    const filter = server.iptables(family);
    if (track) filter.append("filter", "INPUT", "-m conntrack --ctstate NEW");
    filter.append("filter", "INPUT", "-p udp -m udp --dport 53 -j REJECT");
    const result = connect(client, to, 53, { protocol: IPPROTO_UDP, length: 4000 });
    expect(result.outcome).toBe(expected);
  },
);

// The buffer keeps `csum_valid` over a veth, as one machine's memory is another's.
test.each(["10.2.0.2", "fd02::2"])(
  "REJECT of fragments to %s that a router has put together, checked and cut again",
  (to) => {
    const { client, router, server } = routed();
    for (const family of [4, 6] as const) {
      router.iptables(family).append("filter", "FORWARD", "-m conntrack --ctstate INVALID -j DROP");
      server.iptables(family).append("filter", "INPUT", "-p udp -j REJECT");
    }
    const result = connect(client, to, 53, { protocol: IPPROTO_UDP, length: 4000 });
    expect(result.outcome).toBe("refused");
  },
);

// vxlan_rcv leaves `csum_valid` or CHECKSUM_PARTIAL as the outer datagram had it.
test.each([
  ["10.1.0", 4, "10.9.0.1"],
  ["10.1.0", 6, "fd09::1"],
  ["fd01::", 6, "fd09::1"],
] as const)("REJECT of fragments that came by VXLAN over %s, IPv%i to %s", (outer, family, to) => {
  const [a, b] = new Lab().machine("a", "b");
  const [x, y] = cable(a, "eth0", b, "eth0");
  up(x, "10.1.0.1/24", "fd01::1/64");
  up(y, "10.1.0.2/24", "fd01::2/64");
  const address = (host: number) =>
    parseIp(outer.endsWith(":") ? outer + host : `${outer}.${host}`);
  for (const [netns, link, host] of [
    [a, x, 1],
    [b, y, 2],
  ] as const) {
    const ends = { local: address(host), remote: address(3 - host) };
    up(
      new Vxlan(netns, { name: "vx", vni: 1, port: 8472, link, ...ends }),
      `10.8.0.${host}/24`,
      `fd08::${host}/64`,
    );
  }
  forwarding(b);
  routes(a, "10.9.0.0/24 via 10.8.0.2", "fd09::/64 via fd08::2");
  routes(b, "10.9.0.0/24 dev eth0", "fd09::/64 dev eth0");
  b.iptables(family).append("filter", "FORWARD", "-p udp -j REJECT");
  expect(connect(a, to, 53, { protocol: IPPROTO_UDP, length: 2000 }).outcome).toBe("refused");
});

// nf_ip_checksum sums what is there: without a pseudo-header, zeros that are missing change nothing.
describe("REJECT of a first fragment that is sent alone", () => {
  const zeros = new Data(64);
  const ones = new Data(64, new Uint8Array(64).fill(1));
  test.each<[string, 4 | 6, number, Payload, string[]]>([
    ["ICMP of zeros", 4, IPPROTO_ICMP, IcmpMessage.echo(ICMP_ECHO, 7, 1, zeros), ["eth0"]],
    ["ICMP of ones", 4, IPPROTO_ICMP, IcmpMessage.echo(ICMP_ECHO, 7, 1, ones), []],
    ["ICMPv6 of zeros", 6, IPPROTO_ICMPV6, IcmpMessage.echo(ICMPV6_ECHO_REQUEST, 7, 1, zeros), []],
    ["UDP of zeros", 4, IPPROTO_UDP, new UdpDatagram(7, 53, zeros), []],
  ])("%s", (_, family, protocol, payload, expected) => {
    const { client, router } = routed();
    router.iptables(family).append("filter", "FORWARD", "-j REJECT");
    const [src, dst] = family === 4 ? ["10.1.0.2", "10.2.0.2"] : ["fd01::2", "fd02::2"];
    ping(client, family === 4 ? "10.1.0.1" : "fd01::1");
    const whole = new IpPacket(parseIp(src), parseIp(dst), protocol, payload);
    const first = whole.withPayload(new FragmentPayload(whole, 0, 40));
    first.moreFragments = true;
    const skb = new Skb(family === 4 ? ETH_P_IP : ETH_P_IPV6, first, undefined);
    const eth0 = client.device("eth0");
    skb.srcMac = eth0.mac;
    skb.dstMac = router.device("in0").mac;
    const { heard } = listenForFrames(eth0);
    eth0.queueTransmit(skb);
    client.network.run();
    expect(heard()).toEqual(expected);
  });

  test("of ping, which fills its messages", () => {
    const { client, router } = routed();
    router.iptables(4).append("filter", "FORWARD", "-j REJECT");
    expect(ping(client, "10.2.0.2", { length: 4000 }).outcome).toBe("timeout");
    expect(ping(client, "10.2.0.2", { length: 400 }).outcome).toBe("refused");
  });
});
