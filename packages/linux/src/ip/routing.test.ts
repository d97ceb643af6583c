import {
  Data,
  formatIp,
  IPPROTO_UDP,
  IPV4_BROADCAST,
  type IpAddress,
  IpPacket,
  isLinkLocal,
  parseIp,
  UdpDatagram,
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
  rule,
  serve,
  up,
} from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Exchange } from "../socket/exchange.ts";
import { Trace } from "../trace.ts";
import { routeOutput } from "./route-output.ts";

// kernel net/ipv4/route.c, fib_frontend.c, ip_forward.c, icmp.c; net/ipv6/route.c, ip6_output.c, icmp.c

/** client 10.1.0.2 (fd01::2), router 10.1.0.1 and 10.2.0.1, server 10.2.0.2 (fd02::2). */
function routed() {
  const lab = new Lab();
  const [client, router, server] = lab.machine("client", "router", "server");
  const [eth0, in0] = cable(client, "eth0", router, "in0");
  const [out0, eth1] = cable(router, "out0", server, "eth0");
  up(eth0, "10.1.0.2/24", "fd01::2/64");
  up(in0, "10.1.0.1/24", "fd01::1/64");
  up(out0, "10.2.0.1/24", "fd02::1/64");
  up(eth1, "10.2.0.2/24", "fd02::2/64");
  routes(client, "0.0.0.0/0 via 10.1.0.1", "::/0 via fd01::1");
  routes(server, "0.0.0.0/0 via 10.2.0.1", "::/0 via fd02::1");
  forwarding(router);
  serve(server, 80);
  return { lab, client, router, server, eth0, in0, out0, eth1 };
}

/** The answers of ICMP on the way: who sent them. */
function answerer({ error }: Exchange): string {
  return error?.from === undefined ? "" : `${formatIp(error.from)}: ${error.message}`;
}

describe("forwarding", () => {
  test.each([["10.2.0.2"], ["fd02::2"]])("passes packets on to %s, with one hop less", (to) => {
    const { client } = routed();
    const trace = new Trace();
    expect(outcome(ping(client, to, { trace }))).toBe("connected");
    expect(trace.steps.flatMap((s) => (s.kind === "forward" ? [s.ttl] : []))).toEqual([63, 63]);
    expect(outcome(connect(client, to, 80))).toBe("connected");
  });

  test.each([
    ["10.2.0.2", "net/ipv4/ip_forward", "timeout, FORWARDING_DISABLED in router"],
    ["fd02::2", "net/ipv6/conf/all/forwarding", "timeout, FORWARDING_DISABLED in router"],
  ])("off, %s is not reached", (to, sysctl, expected) => {
    const { client, router } = routed();
    router.sysctl.set(sysctl, "0");
    expect(outcome(ping(client, to))).toBe(expected);
    expect(outcome(ping(client, to.startsWith("fd") ? "fd02::1" : "10.2.0.1"))).toBe("connected");
  });

  test("may be off for the device that a packet comes by", () => {
    const { client, router, server } = routed();
    router.sysctl.set("net/ipv4/conf/out0/forwarding", "0");
    expect(outcome(ping(client, "10.2.0.2"))).toBe("timeout, FORWARDING_DISABLED in router");
    expect(outcome(ping(server, "10.1.0.2"))).toBe("timeout, FORWARDING_DISABLED in router");
    router.sysctl.set("net/ipv4/conf/out0/forwarding", "1");
    router.sysctl.set("net/ipv4/conf/in0/forwarding", "0");
    expect(outcome(ping(client, "10.2.0.2"))).toBe("timeout, FORWARDING_DISABLED in router");
  });
});

describe("IPv6 forwarding (ip6_forward)", () => {
  test("is asked of the machine, not of the device", () => {
    const { client, router } = routed();
    router.sysctl.set("net/ipv6/conf/all/forwarding", "0");
    router.sysctl.set("net/ipv6/conf/in0/forwarding", "1");
    expect(outcome(ping(client, "fd02::2"))).toBe("timeout, FORWARDING_DISABLED in router");
  });

  test("does not carry link-local sources to another link, and says so", () => {
    const { client, eth0 } = routed();
    const src = eth0.addresses6.map((a) => a.address).find(isLinkLocal);
    const exchange = ping(client, "fd02::2", { src: formatIp(src as IpAddress) });
    expect(outcome(exchange)).toBe("unreachable, EHOSTUNREACH, IP_INVALID_SOURCE in router");
    expect(answerer(exchange)).toMatch(/^fe80:.*: ICMP beyond scope of source address$/);
  });
});

describe("what a router says of a packet that it cannot pass on", () => {
  const ROUTES = [
    "unreachable 10.3.0.0/16",
    "prohibit 10.4.0.0/16",
    "blackhole 10.5.0.0/16",
    "unreachable fd03::/16",
    "prohibit fd04::/16",
    "blackhole fd05::/16",
  ];

  test.each([
    [
      "10.9.0.1",
      "unreachable, ENETUNREACH, IP_INNOROUTES in router",
      "10.1.0.1: ICMP network unreachable",
    ],
    [
      "10.3.0.1",
      "unreachable, EHOSTUNREACH, UNREACHABLE_ROUTE in router",
      "10.1.0.1: ICMP host unreachable",
    ],
    [
      "10.4.0.1",
      "unreachable, EHOSTUNREACH, PROHIBIT_ROUTE in router",
      "10.1.0.1: ICMP administratively prohibited",
    ],
    ["10.5.0.1", "timeout, BLACKHOLE_ROUTE in router", ""],
    ["fd09::1", "unreachable, ENETUNREACH, IP_INNOROUTES in router", "fd01::1: ICMP no route"],
    ["fd03::1", "unreachable, ENETUNREACH, UNREACHABLE_ROUTE in router", "fd01::1: ICMP no route"],
    [
      "fd04::1",
      "unreachable, EACCES, PROHIBIT_ROUTE in router",
      "fd01::1: ICMP administratively prohibited",
    ],
    ["fd05::1", "timeout, BLACKHOLE_ROUTE in router", ""],
  ])("to %s: %s", (to, expected, from) => {
    const { client, router } = routed();
    routes(router, ...ROUTES);
    const result = ping(client, to);
    expect(outcome(result)).toBe(expected);
    expect(answerer(result)).toBe(from);
  });

  test.each([
    ["10.2.0.9", "10.1.0.1: ICMP host unreachable"],
    ["fd02::9", "fd01::1: ICMP address unreachable"],
  ])("to %s, where nobody is: %s", (to, from) => {
    const { client } = routed();
    const result = ping(client, to, { waitMs: 5_000 });
    expect(outcome(result)).toBe("unreachable, EHOSTUNREACH, NEIGH_FAILED in router");
    expect(answerer(result)).toBe(from);
  });
});

describe("the last hop", () => {
  const withTtl = (to: string, ttl: number) => {
    const { client, server, lab } = routed();
    let heard = 0;
    server.sockets.catchAll = { owner: "server", onDatagram: () => heard++ };
    const dst = parseIp(to);
    const route = routeOutput(client, { dst });
    if (typeof route === "string") throw new Error(route);
    const skb = Skb.ofIp(
      new IpPacket(route.src, dst, IPPROTO_UDP, new UdpDatagram(1, 9), ttl),
      new Trace(),
    );
    skb.dst = route.dst;
    client.ipLocalOut(skb);
    lab.network.run();
    const told = skb.trace?.steps.flatMap((s) =>
      s.kind === "deliver" && s.netns === client ? [s.text] : [],
    );
    return {
      heard,
      told,
      drops: lab.network.takeDrops().map((d) => `${d.reason} in ${d.netns.name}`),
    };
  };

  test.each([
    ["10.2.0.2", 2, { heard: 1, told: [], drops: [] }],
    ["10.2.0.2", 1, { heard: 0, told: ["ICMP time exceeded"], drops: ["TTL_EXCEEDED in router"] }],
    ["fd02::2", 2, { heard: 1, told: [], drops: [] }],
    ["fd02::2", 1, { heard: 0, told: ["ICMP time exceeded"], drops: ["TTL_EXCEEDED in router"] }],
    ["10.1.0.1", 1, { heard: 0, told: ["ICMP port unreachable"], drops: ["NO_SOCKET in router"] }],
  ])("to %s with %i left", (to, ttl, expected) => {
    expect(withTtl(to, ttl)).toEqual(expected);
  });

  test("two routers that point at each other pass a packet to and fro until it is spent", () => {
    const { client, router, server } = routed();
    routes(router, "10.9.0.0/16 via 10.2.0.2");
    forwarding(server);
    const result = ping(client, "10.9.0.1");
    expect(outcome(result)).toMatch(/^unreachable, EHOSTUNREACH, TTL_EXCEEDED in (router|server)$/);
  });
});

describe("source addresses", () => {
  const chosen = (netns: NetNamespace, to: string): string => {
    const route = routeOutput(netns, { dst: parseIp(to) });
    return typeof route === "string" ? route : formatIp(route.src);
  };
  const multihomed = () => {
    const [netns, peer] = new Lab().machine("a", "b");
    const [eth0] = cable(netns, "eth0", peer, "p0");
    const [eth1] = cable(netns, "eth1", peer, "p1");
    up(eth0, "10.0.0.1/24", "10.0.0.9/24", "172.16.0.1/24", "fd00::1/64", "2001:db8::1/64");
    up(eth1, "10.1.0.1/24");
    routes(
      netns,
      "0.0.0.0/0 via 10.0.0.254",
      "10.9.0.0/16 via 10.0.0.2 src 10.1.0.1",
      "::/0 via fd00::254",
    );
    return netns;
  };

  // inet_select_addr; RFC 6724
  test.each([
    ["10.0.0.77", "10.0.0.1"],
    ["172.16.0.77", "172.16.0.1"],
    ["10.1.0.77", "10.1.0.1"],
    ["8.8.8.8", "10.0.0.1"],
    ["10.9.0.1", "10.1.0.1"],
    // A secondary address' own route prefers the first of its network; seen on 6.18 as well.
    ["10.0.0.9", "10.0.0.1"],
    ["127.0.0.5", "127.0.0.1"],
    ["fd00::77", "fd00::1"],
    ["fd09::77", "fd00::1"],
    ["2001:db8::77", "2001:db8::1"],
    ["2a00::77", "2001:db8::1"],
    ["fd00::1", "fd00::1"],
    ["::1", "::1"],
    ["8.8.8.8.8", undefined],
  ])("to %s: %s", (to, expected) => {
    if (expected === undefined) expect(() => chosen(multihomed(), to)).toThrow();
    else expect(chosen(multihomed(), to)).toBe(expected);
  });

  test("a device without addresses borrows another's", () => {
    const [netns, peer] = new Lab().machine("a", "b");
    const [eth0] = cable(netns, "eth0", peer, "p0");
    cable(netns, "cali0", peer, "p1");
    up(eth0, "10.0.0.1/24");
    routes(netns, "10.9.0.5/32 dev cali0");
    expect(chosen(netns, "10.9.0.5")).toBe("10.0.0.1");
  });

  test("one that the machine does not have is refused", () => {
    const { client } = routed();
    expect(outcome(ping(client, "10.2.0.2", { src: "10.7.7.7" }))).toBe("unreachable, ENETUNREACH");
  });
});

describe("what a machine does not accept", () => {
  /** Puts a packet onto the client's cable, as if somebody there had made it up. */
  const inject = (lab: ReturnType<typeof routed>, src: IpAddress, dst: IpAddress) => {
    const skb = Skb.ofIp(
      new IpPacket(src, dst, IPPROTO_UDP, new UdpDatagram(1, 9, new Data(1))),
      undefined,
    );
    skb.srcMac = lab.eth0.mac;
    skb.dstMac = lab.in0.mac;
    lab.eth0.queueTransmit(skb);
    lab.lab.network.run();
    return lab.lab.network
      .takeDrops()
      .map((d) => d.reason)
      .join();
  };

  test.each([
    ["255.255.255.255", "10.2.0.2", "IP_INVALID_SOURCE"],
    ["224.0.0.1", "10.2.0.2", "IP_INVALID_SOURCE"],
    ["0.1.2.3", "10.2.0.2", "IP_INVALID_SOURCE"],
    ["127.0.0.1", "10.2.0.2", "IP_INVALID_SOURCE"],
    ["10.1.0.2", "127.0.0.1", "IP_LOCALNET"],
    ["10.1.0.2", "0.1.2.3", "IP_INVALID_DEST"],
    ["10.1.0.1", "10.2.0.2", "IP_LOCAL_SOURCE"],
    ["10.2.0.1", "10.1.0.1", "IP_LOCAL_SOURCE"],
    ["10.1.0.2", "239.1.2.3", "IP_INVALID_DEST"],
    ["10.1.0.2", "10.2.0.2", "NO_SOCKET"],
    ["fd01::2", "::1", "IP_INVALID_SOURCE"],
    ["::1", "fd02::2", "IP_INVALID_SOURCE"],
    ["ff02::1", "fd02::2", "IP_INVALID_SOURCE"],
    // The router wants to tell fe80::1, and asks for it on the link.
    ["fe80::1", "fd02::2", "IP_INVALID_SOURCE,IP_INVALID_DEST"],
    ["::", "fd02::2", "IP_INVALID_SOURCE"],
    ["fd01::2", "fd02::2", "NO_SOCKET"],
  ])("from %s to %s: %s", (src, dst, expected) => {
    expect(inject(routed(), parseIp(src), parseIp(dst))).toBe(expected);
  });

  test.each([
    [
      "accept_local lets its own addresses in",
      "net/ipv4/conf/in0/accept_local",
      "10.1.0.1",
      "10.2.0.2",
      "NO_SOCKET",
    ],
    [
      "route_localnet lets 127.0.0.0/8 in",
      "net/ipv4/conf/in0/route_localnet",
      "10.1.0.2",
      "127.0.0.1",
      "NO_SOCKET",
    ],
  ])("%s", (_, sysctl, src, dst, expected) => {
    const lab = routed();
    lab.router.sysctl.set(sysctl, "1");
    expect(inject(lab, parseIp(src), parseIp(dst))).toBe(expected);
  });

  // fib_validate_source; all/rp_filter and the device's: the larger counts
  describe("rp_filter", () => {
    const filtered = (all: number, own: number) => {
      const lab = routed();
      const { router } = lab;
      router.sysctl.set("net/ipv4/conf/all/rp_filter", String(all));
      router.sysctl.set("net/ipv4/conf/in0/rp_filter", String(own));
      return lab;
    };

    test.each([
      [0, 0, "10.1.0.2", "NO_SOCKET"],
      [0, 0, "10.2.0.9", "NO_SOCKET"],
      [0, 0, "10.99.0.9", "NO_SOCKET"],
      [1, 0, "10.1.0.2", "NO_SOCKET"],
      [1, 0, "10.2.0.9", "IP_RPFILTER"],
      [0, 1, "10.2.0.9", "IP_RPFILTER"],
      [0, 1, "10.99.0.9", "IP_RPFILTER"],
      [2, 0, "10.2.0.9", "NO_SOCKET"],
      [0, 2, "10.99.0.9", "IP_RPFILTER"],
      [2, 1, "10.2.0.9", "NO_SOCKET"],
    ])("all %i, in0 %i, from %s: %s", (all, own, src, expected) => {
      expect(inject(filtered(all, own), parseIp(src), parseIp("10.1.0.1"))).toBe(expected);
    });

    // src_valid_mark: the way back is looked up with the packet's mark
    test("looks back by the rules", () => {
      const lab = filtered(1, 0);
      routes(lab.router, "10.2.0.9/32 dev in0 table 100");
      expect(inject(lab, parseIp("10.2.0.9"), parseIp("10.1.0.1"))).toBe("IP_RPFILTER");
      rule(lab.router, "priority 10 lookup 100");
      expect(inject(lab, parseIp("10.2.0.9"), parseIp("10.1.0.1"))).toBe("NO_SOCKET");
    });

    // fib4_rules_early_flow_dissect: a datagram from port 1 to port 9; the way back is from 9 to 1
    test.each([
      ["ipproto 17", "NO_SOCKET"],
      ["ipproto 6", "IP_RPFILTER"],
      ["ipproto 17 dport 1", "NO_SOCKET"],
      ["ipproto 17 dport 9", "IP_RPFILTER"],
    ])("the way back is looked up with protocol and ports: %s: %s", (selector, expected) => {
      const lab = filtered(1, 0);
      routes(lab.router, "10.2.0.9/32 dev in0 table 100");
      rule(lab.router, `priority 10 ${selector} lookup 100`);
      expect(inject(lab, parseIp("10.2.0.9"), parseIp("10.1.0.1"))).toBe(expected);
    });
  });

  test("a frame for another MAC", () => {
    const lab = routed();
    const skb = Skb.ofIp(
      new IpPacket(parseIp("10.1.0.2"), parseIp("10.1.0.1"), IPPROTO_UDP, new UdpDatagram(1, 9)),
      undefined,
    );
    skb.dstMac = 0x0200000000ee;
    lab.eth0.queueTransmit(skb);
    lab.lab.network.run();
    expect(lab.lab.network.takeDrops().map((d) => d.reason)).toEqual(["OTHERHOST"]);
  });
});

describe("broadcast and multicast", () => {
  const heardBy = (send: (lab: ReturnType<typeof routed>) => void) => {
    const lab = routed();
    const heard: string[] = [];
    for (const netns of [lab.client, lab.router, lab.server]) {
      netns.sockets.catchAll = { owner: "server", onDatagram: () => heard.push(netns.name) };
    }
    send(lab);
    return heard.sort().join(" ");
  };
  const sendTo = (to: IpAddress, oif: boolean) => (lab: ReturnType<typeof routed>) => {
    const route = routeOutput(lab.client, { dst: to, oif: oif ? lab.eth0 : undefined });
    if (typeof route === "string") throw new Error(route);
    const skb = Skb.ofIp(
      new IpPacket(route.src, to, IPPROTO_UDP, new UdpDatagram(1, 9), 4),
      undefined,
    );
    skb.dst = route.dst;
    lab.client.ipLocalOut(skb);
    lab.lab.network.run();
  };

  test.each([
    ["the network's broadcast", "10.1.0.255", false, "client router"],
    ["the limited broadcast", formatIp(IPV4_BROADCAST), true, "client router"],
    ["all hosts", "224.0.0.1", true, "client router"],
    ["a group that nobody is in", "239.1.1.1", true, ""],
    ["all nodes", "ff02::1", true, "client router"],
    ["all routers", "ff02::2", true, "router"],
    // __mkroute_input: bc_forwarding is off
    ["another network's broadcast, which a router keeps", "10.2.0.255", false, "router"],
  ])("%s: %s", (_, to, oif, expected) => {
    expect(heardBy(sendTo(parseIp(to), oif))).toBe(expected);
  });

  test("an echo request to a broadcast address is not answered", () => {
    const { client } = routed();
    expect(outcome(ping(client, "10.1.0.255"))).toBe("timeout");
  });
});
