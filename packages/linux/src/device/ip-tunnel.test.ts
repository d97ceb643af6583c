import { formatIp, parseIp } from "@cnilab/net";
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
import { IpTunnel, type IpTunnelOptions } from "./ip-tunnel.ts";

// kernel net/ipv4/ip_tunnel.c, ipip.c; net/ipv6/sit.c

/** Machines h1 and h2 with a tunnel device each, and a pod 10.2.N.2 (fd02:N::2) behind each. */
function tunnelled(kind: "ipip" | "sit", options: (n: number) => Partial<IpTunnelOptions>) {
  const lab = new Lab();
  const sides = [1, 2].map((n) => {
    const host = lab.host(`h${n}`, `10.0.0.${n}/24`);
    forwarding(host);
    const link = host.device("eth0");
    const tunnel = up(new IpTunnel(host, { name: "tun0", kind, link, ...options(n) }));
    const pod = host.kernel.addNamespace(`pod${n}`);
    pod.loopback.setUp();
    const [veth, eth0] = cable(host, "veth", pod, "eth0");
    up(veth, `10.2.${n}.1/24`, `fd02:${n}::1/64`);
    up(eth0, `10.2.${n}.2/24`, `fd02:${n}::2/64`);
    routes(pod, `0.0.0.0/0 via 10.2.${n}.1`, `::/0 via fd02:${n}::1`);
    return { host, tunnel, pod };
  });
  const [one, two] = sides as [(typeof sides)[0], (typeof sides)[0]];
  return {
    lab,
    h1: one.host,
    h2: two.host,
    t1: one.tunnel,
    t2: two.tunnel,
    pod1: one.pod,
    pod2: two.pod,
  };
}

const other = (n: number) => ({ local: 0x0a000000 + n, remote: 0x0a000003 - n });

/** As flannel and Calico use it: one device for all, the route's gateway is the other machine. */
function throughGateways() {
  const lab = tunnelled("ipip", (n) => ({ local: 0x0a000000 + n }));
  routes(lab.h1, "10.2.2.0/24 via 10.0.0.2 dev tun0 onlink");
  routes(lab.h2, "10.2.1.0/24 via 10.0.0.1 dev tun0 onlink");
  return lab;
}

describe("ipip", () => {
  test("to one remote", () => {
    const { h1, h2, pod1 } = tunnelled("ipip", other);
    routes(h1, "10.2.2.0/24 dev tun0");
    routes(h2, "10.2.1.0/24 dev tun0");
    expect(outcome(ping(pod1, "10.2.2.2"))).toBe("connected");
  });

  test("to the gateway of the route, where the device has no remote", () => {
    const { pod1, pod2, t1 } = throughGateways();
    const trace = new Trace();
    expect(outcome(ping(pod1, "10.2.2.2", { trace }))).toBe("connected");
    const [step] = trace.steps.filter((s) => s.kind === "encapsulate");
    const outer = step?.kind === "encapsulate" ? step.outer : undefined;
    expect(
      outer && [formatIp(outer.src), formatIp(outer.dst), outer.protocol, outer.length],
    ).toEqual(["10.0.0.1", "10.0.0.2", 4, 104]);
    serve(pod2, 80);
    expect(outcome(connect(pod1, "10.2.2.2", 80))).toBe("connected");
    expect(t1.mtu).toBe(1480);
  });

  test("inherits the inner packet's TTL, or has its own", () => {
    const ttls = (ttl: number) => {
      const { h1, h2, pod1 } = tunnelled("ipip", (n) => ({ ...other(n), ttl }));
      routes(h1, "10.2.2.0/24 dev tun0");
      routes(h2, "10.2.1.0/24 dev tun0");
      const trace = new Trace();
      ping(pod1, "10.2.2.2", { trace });
      return trace.steps.flatMap((s) => (s.kind === "encapsulate" ? [s.outer.ttl] : []));
    };
    expect(ttls(0)).toEqual([63, 63]);
    expect(ttls(5)).toEqual([5, 5]);
  });

  test("does not carry IPv6", () => {
    const { h1, lab, pod1 } = tunnelled("ipip", other);
    routes(h1, "fd02:2::/64 dev tun0");
    expect(outcome(ping(pod1, "fd02:2::2"))).toBe("timeout, UNHANDLED_PROTO in h1");
    expect(lab.network.unresolved.size).toBe(0);
  });

  test.each([
    ["there is none", (h: NetNamespace) => h.device("tun0").remove()],
    ["it is down", (h: NetNamespace) => h.device("tun0").setDown()],
  ])("a packet that no tunnel takes is lost: %s", (_, change) => {
    const { h2, pod1 } = throughGateways();
    change(h2);
    expect(outcome(ping(pod1, "10.2.2.2"))).toBe("timeout, IP_NOPROTO in h2");
  });

  test("the closest match takes the packet", () => {
    const { h2, pod1, t2 } = throughGateways();
    const exact = up(new IpTunnel(h2, { name: "tun1", ...other(2) }));
    expect(outcome(ping(pod1, "10.2.2.2"))).toBe("connected");
    expect([exact.rxPackets, t2.rxPackets]).toEqual([1, 0]);
  });

  test("refuses to send into itself", () => {
    const host = new Lab().host("h1", "10.0.0.1/24");
    const remote = parseIp("10.2.2.2") as number;
    up(new IpTunnel(host, { name: "tun0", remote }), "10.2.2.1/24");
    expect(outcome(ping(host, "10.2.2.9"))).toBe("timeout, IP_OUTNOROUTES in h1");
  });
});

describe("size", () => {
  test("a pod that sends too much with DF is told, and its segments get through", () => {
    const { pod1, pod2 } = throughGateways();
    serve(pod2, 80);
    expect(outcome(connect(pod1, "10.2.2.2", 80))).toBe("connected");
    expect(pod1.pathMtus.get(parseIp("10.2.2.2"))?.mtu).toBe(1480);
  });

  test("without DF the packet is cut before it is wrapped", () => {
    const { pod1 } = throughGateways();
    const trace = new Trace();
    expect(outcome(ping(pod1, "10.2.2.2", { length: 1472, trace }))).toBe(
      "unreachable, EMSGSIZE, PKT_TOO_BIG in h1",
    );
    // Now the pod knows, and cuts by itself.
    expect(outcome(ping(pod1, "10.2.2.2", { length: 1472, trace }))).toBe("connected");
    const cuts = trace.steps.flatMap((s) =>
      s.kind === "fragment" ? [`${s.netns.name || s.netns.kernel.hostname} ${s.mtu}`] : [],
    );
    expect(cuts[0]).toBe("pod1 1480");
  });
});

/** The machines' tunnel leads over a router whose second link takes 1400 bytes. */
function throughNarrowPath(kind: "ipip" | "sit", options: Partial<IpTunnelOptions> = {}) {
  const lab = new Lab();
  const [h1, router, h2] = lab.machine("h1", "router", "h2");
  for (const netns of [h1, router, h2]) forwarding(netns);
  const [a, b] = cable(h1, "eth0", router, "left");
  const [c, d] = cable(router, "right", h2, "eth0");
  for (const dev of [c, d]) dev.setMtu(1400);
  up(a, "10.0.1.1/24");
  up(b, "10.0.1.9/24");
  up(c, "10.0.2.9/24");
  up(d, "10.0.2.1/24");
  routes(h1, "10.0.2.0/24 via 10.0.1.9");
  routes(h2, "10.0.1.0/24 via 10.0.2.9");
  const ends = [parseIp("10.0.1.1") as number, parseIp("10.0.2.1") as number] as const;
  const tunnel = (netns: NetNamespace, i: 0 | 1) =>
    up(
      new IpTunnel(netns, {
        name: "tun0",
        kind,
        local: ends[i],
        remote: ends[1 - i] as number,
        ...options,
      }),
      `10.1.0.${i + 1}/24`,
      `fd01::${i + 1}/64`,
    );
  tunnel(h1, 0);
  tunnel(h2, 1);
  return { lab, h1, router, h2 };
}

/** What becomes of attempts, the first that connects being the last. */
function untilConnected(attempt: () => string): string[] {
  const results: string[] = [];
  while (results.at(-1) !== "connected" && results.length < 6) results.push(attempt());
  return results;
}

// Asked of a 6.1 kernel: packages/realize, npm run fuzz:vm.
describe("a path that is narrower than the tunnel", () => {
  test("loses outer packets with DF set, though the inner ones may be cut; the router tells of it", () => {
    const { h1 } = throughNarrowPath("ipip");
    const results = untilConnected(() => outcome(ping(h1, "10.1.0.2", { length: 4000 })));
    // Both machines learn the outer way first, then, with the next packet, the inner one.
    expect(results[0]).toMatch(/^timeout, PKT_TOO_BIG in router/);
    expect(results.at(-2)).toMatch(/^timeout, PKT_TOO_BIG in h2/);
    expect(results.at(-1)).toBe("connected");
    expect(h1.pathMtus.get(parseIp("10.1.0.2"))?.mtu).toBe(1380);
  });

  test("is nothing to a tunnel that lets its packets be cut", () => {
    const { h1 } = throughNarrowPath("ipip", { pathMtuDiscovery: false });
    expect(outcome(ping(h1, "10.1.0.2", { length: 1452 }))).toBe("timeout, PKT_TOO_BIG in router");
    expect(outcome(ping(h1, "10.1.0.2", { length: 4000 }))).toBe("connected");
  });

  test("is told of to IPv6 senders, down to 1280 bytes; below that the outer packet is cut", () => {
    const { h1, router, h2 } = throughNarrowPath("sit");
    const results = () => untilConnected(() => outcome(ping(h1, "fd01::2", { length: 1400 })));
    expect(results()).toEqual([
      "timeout, PKT_TOO_BIG in router",
      "unreachable, EMSGSIZE, PKT_TOO_BIG in h1",
      "timeout, PKT_TOO_BIG in h2",
      "connected",
    ]);
    expect(h1.pathMtus.get(parseIp("fd01::2"))?.mtu).toBe(1380);
    for (const dev of [router.device("right"), h2.device("eth0")]) dev.setMtu(1290);
    expect(results().at(-1)).toBe("connected");
    expect(h1.pathMtus.get(parseIp("fd01::2"))?.mtu).toBe(1280);
  });
});

describe("errors about the outer packet", () => {
  test("ipip: the next packet is answered for each, for 30 seconds, and sent all the same", () => {
    const { lab, h1 } = throughNarrowPath("ipip", { ttl: 1 });
    const result = () => outcome(ping(h1, "10.1.0.2"));
    expect(result()).toBe("timeout, TTL_EXCEEDED in router");
    expect(result()).toBe("unreachable, EHOSTUNREACH, TTL_EXCEEDED in router");
    lab.clock.advance(30_000);
    expect(result()).toBe("timeout, TTL_EXCEEDED in router");
  });

  test("ipip: a TTL that was the sender's own is nobody's fault", () => {
    const { h1 } = throughNarrowPath("ipip");
    h1.sysctl.set("net/ipv4/ip_default_ttl", 1);
    for (let n = 0; n < 2; n++) {
      expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, TTL_EXCEEDED in router");
    }
  });

  test("ipip: a machine that drops its own outer packet does not fail the sender's call", () => {
    const { h1 } = throughNarrowPath("ipip");
    h1.iptables(4).append("filter", "OUTPUT", "-p 4 -j DROP");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, NETFILTER_DROP in h1");
  });

  // ip6_err_gen_icmpv6_unreach, ip6_dst_lookup_tail; asked of a 6.1 kernel.
  test.each([
    ["a TTL that ran out", { ttl: 1 }, undefined, "timeout, TTL_EXCEEDED in router"],
    ["a router that refuses", {}, "router", "timeout, NETFILTER_DROP in router"],
    ["the machine itself refuses", {}, "h1", "timeout, NETFILTER_DROP in h1"],
  ] as const)("sit: nobody hears of them: %s", (_, options, refuses, expected) => {
    const { h1, router } = throughNarrowPath("sit", options);
    if (refuses === "router") router.iptables(4).append("filter", "FORWARD", "-j REJECT");
    if (refuses === "h1") h1.iptables(4).append("filter", "OUTPUT", "-p 41 -j REJECT");
    for (let n = 0; n < 2; n++) expect(outcome(ping(h1, "fd01::2"))).toBe(expected);
  });
});

describe("sit", () => {
  test("carries IPv6", () => {
    const { h1, h2, pod1, pod2 } = tunnelled("sit", other);
    routes(h1, "fd02:2::/64 dev tun0");
    routes(h2, "fd02:1::/64 dev tun0");
    const trace = new Trace();
    expect(outcome(ping(pod1, "fd02:2::2", { trace }))).toBe("connected");
    expect(
      trace.steps.flatMap((s) => (s.kind === "encapsulate" ? [s.outer.protocol] : [])),
    ).toEqual([41, 41]);
    serve(pod2, 80);
    expect(outcome(connect(pod1, "fd02:2::2", 80))).toBe("connected");
  });

  test("does not carry IPv4", () => {
    const { h1, pod1 } = tunnelled("sit", other);
    routes(h1, "10.2.2.0/24 dev tun0");
    expect(outcome(ping(pod1, "10.2.2.2"))).toBe("timeout, UNHANDLED_PROTO in h1");
  });
});
