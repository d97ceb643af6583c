import { IPPROTO_SCTP, IPPROTO_UDP, parseIp, parsePrefix } from "@cnilab/net";
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
import {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from "../netfilter/hooks.ts";
import type { Skb } from "../skb.ts";
import { TcpConnection } from "../socket/tcp.ts";
import { Trace } from "../trace.ts";

// kernel net/ipv4/ip_output.c, ip_fragment.c, route.c; net/ipv6/ip6_output.c, reassembly.c

/** client -1500- r1 -`middle`- r2 -1500- server; 10.1.0.2 and 10.2.0.2, fd01::2 and fd02::2. */
function narrow(middle: number) {
  const lab = new Lab();
  const [client, r1, r2, server] = lab.machine("client", "r1", "r2", "server");
  const [c0, in0] = cable(client, "eth0", r1, "in0");
  const [m1, m2] = cable(r1, "m1", r2, "m2");
  const [out0, s0] = cable(r2, "out0", server, "eth0");
  up(c0, "10.1.0.2/24", "fd01::2/64");
  up(in0, "10.1.0.1/24", "fd01::1/64");
  up(m1, "10.9.0.1/24", "fd09::1/64").setMtu(middle);
  up(m2, "10.9.0.2/24", "fd09::2/64").setMtu(middle);
  up(out0, "10.2.0.1/24", "fd02::1/64");
  up(s0, "10.2.0.2/24", "fd02::2/64");
  routes(client, "0.0.0.0/0 via 10.1.0.1", "::/0 via fd01::1");
  routes(r1, "10.2.0.0/24 via 10.9.0.2", "fd02::/64 via fd09::2");
  routes(r2, "10.1.0.0/24 via 10.9.0.1", "fd01::/64 via fd09::1");
  routes(server, "0.0.0.0/0 via 10.2.0.1", "::/0 via fd02::1");
  for (const router of [r1, r2]) forwarding(router);
  for (const protocol of [6, IPPROTO_UDP, IPPROTO_SCTP]) serve(server, 80, protocol);
  return { lab, client, r1, r2, server };
}

const known = (netns: NetNamespace, to: string) => netns.pathMtus.get(parseIp(to))?.mtu;

/** Loses what a router says of packets that are too long, as firewalls do. */
function loseIcmpErrors(router: NetNamespace): void {
  for (const family of [NFPROTO_IPV4, NFPROTO_IPV6] as const) {
    router.netfilter.register(family, 3, {
      name: "lose ICMP errors",
      priority: 0,
      run: (skb: Skb) => {
        const isError = "rest" in skb.ip.payload && skb.ip.payload.length > 500;
        if (isError) router.network.drop(skb, router, "NETFILTER_DROP", skb.dev);
        return isError ? NF_DROP : NF_ACCEPT;
      },
    });
  }
}

describe("a narrow link in the middle", () => {
  test.each([
    ["10.2.0.2", 6],
    ["10.2.0.2", IPPROTO_SCTP],
    ["fd02::2", 6],
    ["fd02::2", IPPROTO_SCTP],
  ])("to %s over protocol %i is found out, and segments become smaller", (to, protocol) => {
    const { client, server } = narrow(1400);
    expect(outcome(connect(client, to, 80, { protocol }))).toBe("connected");
    expect(known(client, to)).toBe(1400);
    expect(known(server, to.replace("2", "1").replace("fd02", "fd01"))).toBe(1400);
  });

  test.each(["10.2.0.2", "fd02::2"])("stalls connections to %s where ICMP is lost", (to) => {
    const { client, r1, r2 } = narrow(1400);
    for (const router of [r1, r2]) loseIcmpErrors(router);
    const result = connect(client, to, 80);
    expect(result.outcome).toBe("stalled");
    expect(result.drops.map((d) => `${d.reason} in ${d.netns.name}`)).toContain(
      "PKT_TOO_BIG in r1",
    );
    // Small packets get through: that is what makes the fault so hard to see.
    expect(outcome(ping(client, to))).toBe("connected");
  });

  // The server believes that it answers itself, by a route that only this one connection has.
  test.each([
    ["10.2.0.2", 4, "stalled"],
    ["fd02::2", 6, "connected"],
  ] as const)(
    "a server at %s to whom NAT gives its own address, over IPv%i: %s",
    (to, family, first) => {
      const { client, server } = narrow(1400);
      server.iptables(family).append("nat", "INPUT", `-p tcp -j SNAT --to-source ${to}`);
      expect(outcome(connect(client, to, 80))).toContain(first);
      expect(known(server, to)).toBe(1400);
      expect(outcome(connect(client, to, 80))).toBe("connected");
    },
  );

  // Each side finds out by a datagram that is lost, and nobody sends a server's answer again.
  test.each(["10.2.0.2", "fd02::2"])("loses the first long datagrams to and from %s", (to) => {
    const { client } = narrow(1400);
    const ask = () => outcome(connect(client, to, 80, { protocol: IPPROTO_UDP, length: 1452 }));
    expect(ask()).toBe("timeout, PKT_TOO_BIG in r1, PKT_TOO_BIG in r2");
    expect(known(client, to)).toBe(1400);
    expect(ask()).toBe("connected");
  });

  test("IPv4 without DF is cut by the router, IPv6 never", () => {
    const { client } = narrow(1400);
    client.sysctl.set("net/ipv4/ip_no_pmtu_disc", "1");
    const trace = new Trace();
    connect(client, "10.2.0.2", 80, { protocol: IPPROTO_UDP, length: 3000, trace });
    const cuts = trace.steps.flatMap((s) =>
      s.kind === "fragment" || s.kind === "reassemble"
        ? [`${s.kind} ${s.netns.name} ${s.count}`]
        : [],
    );
    // 3008 bytes of UDP: 1480 + 1480 + 48, of which the router cuts the longer ones in two.
    expect(cuts.slice(0, 4)).toEqual([
      "fragment client 3",
      "fragment r1 2",
      "fragment r1 2",
      "reassemble server 5",
    ]);
  });
});

describe("a route's MTU on a router", () => {
  // [its device's MTU, the route's, what the client hears of]
  test.each([
    ["10.2.0.2", 1400, 1300, [1300]],
    ["10.2.0.2", 1300, 1400, [1400]],
    // ip6_forward looks at the device (ip6_dst_mtu_maybe_forward), ip6_fragment at the route.
    ["fd02::2", 1400, 1300, [1400, 1300]],
    ["fd02::2", 1300, 1400, [1300]],
    ["fd02::2", 1500, 1300, [1300]],
  ])("to %s over a link of %i, by a route with mtu %i: %j", (to, device, route, expected) => {
    const { client, r1 } = narrow(device);
    for (const [dst, via] of [
      ["10.2.0.2", "10.9.0.2"],
      ["fd02::2", "fd09::2"],
    ]) {
      routes(r1, `${dst} via ${via} mtu ${route}`);
    }
    const heard: (number | undefined)[] = [];
    for (let i = 0; i < expected.length; i++) {
      ping(client, to, { length: (known(client, to) ?? 1500) - 48 });
      heard.push(known(client, to));
    }
    expect(heard).toEqual(expected);
  });
});

// tcp_simple_retransmit hands the data over in one piece, which is_skb_forwardable lets pass; datagrams it does not.
test.each([
  [6, "connected"],
  [IPPROTO_UDP, "timeout"],
])("protocol %i by a route whose MTU is more than that of its veth: %s", (protocol, expected) => {
  const { client, r1 } = narrow(1500);
  r1.device("m1").setMtu(1280);
  r1.kernel.findNamespace("r2")?.device("m2").setMtu(1280);
  routes(r1, "10.2.0.2 via 10.9.0.2 mtu 1400");
  expect(connect(client, "10.2.0.2", 80, { protocol, length: 1472 }).outcome).toBe(expected);
});

test("what a router learnt of a path for itself does not count for IPv4 packets that it passes on", () => {
  const { client, r1 } = narrow(1500);
  r1.learnPathMtu(parseIp("10.2.0.2"), 1300);
  expect(outcome(ping(client, "10.2.0.2", { length: 1400 }))).toBe("connected");
});

test("a connection sends again once, however many of its segments a router speaks of", () => {
  const { client } = narrow(1400);
  const connection = TcpConnection.connect(client, {
    dst: parseIp("10.2.0.2"),
    port: 80,
    owner: "client",
  });
  if ("errno" in connection) throw new Error(connection.errno);
  const trace = new Trace();
  connection.trace = trace;
  connection.send(5 * 1460);
  const sent = trace.steps.flatMap((step) =>
    step.kind === "send" && step.netns === client && step.text.endsWith("bytes") ? [step.text] : [],
  );
  const again = new Array(5).fill(["1360 bytes", "100 bytes"]).flat();
  expect(sent).toEqual([...new Array(5).fill("1460 bytes"), ...again]);
});

test("a connection whose link is as narrow as it says needs no discovery", () => {
  const { client, server } = narrow(1500);
  expect(outcome(connect(client, "10.2.0.2", 80))).toBe("connected");
  expect([client.pathMtus.size, server.pathMtus.size]).toEqual([0, 0]);
});

describe("what is known of a path", () => {
  test("is forgotten after mtu_expires", () => {
    const { lab, client } = narrow(1400);
    connect(client, "10.2.0.2", 80);
    lab.clock.advance(600_000);
    const path = client.fib4.lookup({
      dst: parseIp("10.2.0.2"),
      src: undefined,
      iif: undefined,
      oif: undefined,
      mark: 0,
      tos: 0,
      protocol: 0,
      srcPort: 0,
      dstPort: 0,
    });
    const mtu = () => client.pathMtu(path?.dst as never, parseIp("10.2.0.2"));
    expect(mtu()).toBe(1400);
    lab.clock.advance(2_000);
    expect(mtu()).toBe(1500);
    expect(client.pathMtus.size).toBe(0);
  });

  // net.ipv4.route.min_pmtu; IPv6 takes no word of less than 1280 (__ip6_rt_update_pmtu)
  test.each([
    ["10.2.0.2", 100, 552],
    ["10.2.0.2", 600, 600],
    ["fd02::2", 1279, undefined],
    ["fd02::2", 1300, 1300],
  ])("to %s, when told %i: %i", (to, told, expected) => {
    const { client } = narrow(1500);
    client.learnPathMtu(parseIp(to), told);
    expect(known(client, to)).toBe(expected);
  });

  test("is not more than the route's own limit", () => {
    const { client } = narrow(1500);
    routes(client, "10.2.0.0/24 via 10.1.0.1 mtu 1300");
    const trace = new Trace();
    expect(outcome(connect(client, "10.2.0.2", 80, { trace }))).toBe("connected");
    const longest = Math.max(
      ...trace.steps.flatMap((s) =>
        s.kind === "transmit" && s.netns === client ? [s.frame.payload.length] : [],
      ),
    );
    expect(longest).toBe(1300);
  });
});

describe("policy rules", () => {
  const TOO_BIG_AGAIN = "unreachable, EMSGSIZE, PKT_TOO_BIG in r1, PKT_TOO_BIG in r1";

  // __build_flow_key, ip6_update_pmtu: the look-up has no ports, and for IPv6 no protocol
  test.each([
    ["10.2.0.2", 4, "", "connected"],
    ["fd02::2", 6, "", "connected"],
    ["10.2.0.2", 4, " ipproto 17", "connected"],
    ["fd02::2", 6, " ipproto 17", TOO_BIG_AGAIN],
    ["fd02::2", 6, " dport 80", TOO_BIG_AGAIN],
  ] as const)("to %s (IPv%i), routed by a rule for all%s: %s", (to, family, match, expected) => {
    const { client } = narrow(1400);
    const [all, gateway] = family === 4 ? ["0.0.0.0/0", "10.1.0.1"] : ["::/0", "fd01::1"];
    client.deleteRoute({ dst: parsePrefix(all) });
    routes(client, `${all} via ${gateway} table 77`);
    rule(client, `priority 100${match} lookup 77`, family);
    const ask = () => connect(client, to, 80, { protocol: IPPROTO_UDP, length: 1440 });
    ask();
    expect(outcome(ask())).toBe(expected);
  });
});

// ip6_route_me_harder: the socket's route has learnt, the one that a mark leads to has not
test("what is routed again by a mark does not know what its socket's IPv6 route has learnt", () => {
  const { client } = narrow(1400);
  routes(client, "::/0 via fd01::1 table 77");
  rule(client, "priority 100 fwmark 1/1 lookup 77", 6);
  const ask = () => connect(client, "fd02::2", 80, { protocol: IPPROTO_UDP, length: 1440 });
  ask();
  expect(outcome(ask())).toBe("connected");
  client.iptables(6).append("mangle", "OUTPUT", "-p udp -j MARK --set-mark 1");
  expect(outcome(ask())).toContain("PKT_TOO_BIG in r1");
});

describe("fragments", () => {
  test.each([
    ["10.2.0.2", 1473, 2],
    ["10.2.0.2", 4000, 3],
    ["10.2.0.2", 60_000, 41],
    ["fd02::2", 1453, 2],
    ["fd02::2", 4000, 3],
  ])("of a ping to %s with %i bytes are %i and become one", (to, length, count) => {
    const { client } = narrow(1500);
    const trace = new Trace();
    expect(outcome(ping(client, to, { length, trace }))).toBe("connected");
    const cut = trace.steps.filter((s) => s.kind === "fragment");
    const whole = trace.steps.filter((s) => s.kind === "reassemble");
    expect(cut.map((s) => s.kind === "fragment" && [s.netns.name, s.count])).toEqual([
      ["client", count],
      ["server", count],
    ]);
    expect(whole.map((s) => s.kind === "reassemble" && [s.netns.name, s.count])).toEqual([
      ["server", count],
      ["client", count],
    ]);
  });

  /** r2 loses every fragment that `fits` says. */
  const losing = (fits: (offset: number) => boolean) => {
    const lab = narrow(1500);
    for (const family of [NFPROTO_IPV4, NFPROTO_IPV6] as const) {
      lab.r2.netfilter.register(family, NF_INET_FORWARD, {
        name: "lose fragments",
        priority: 0,
        run: (skb: Skb) => (skb.ip.isFragment && fits(skb.ip.fragmentOffset) ? NF_DROP : NF_ACCEPT),
      });
    }
    return lab;
  };

  // ip_expire, ip6frag_expire_frag_queue
  test.each([
    ["10.2.0.2", "last", 30_000, "10.2.0.2 ICMP reassembly time exceeded"],
    ["10.2.0.2", "first", 30_000, undefined],
    ["fd02::2", "last", 60_000, "fd02::2 ICMP reassembly time exceeded"],
    ["fd02::2", "first", 60_000, undefined],
  ])("to %s of which the %s is lost are given up after %i ms", (to, lost, time, told) => {
    const { client, lab } = losing((offset) => (offset === 0) === (lost === "first"));
    const before = ping(client, to, { length: 2000, waitMs: time - 1 });
    expect(outcome(before)).toBe("timeout");
    const after = ping(client, to, { length: 2000, waitMs: time });
    expect(after.drops.map((d) => `${d.reason} in ${d.netns.name}`)).toContain(
      "FRAG_REASM_TIMEOUT in server",
    );
    const { error } = after;
    expect(error && `${error.from === undefined ? "" : to} ${error.message}`).toBe(told);
    expect(lab.network.unresolved.size).toBe(0);
  });

  test("that come twice or in another order make one packet", () => {
    const { client, server, lab } = narrow(1500);
    const held: Skb[] = [];
    server.netfilter.register(NFPROTO_IPV4, 0, {
      name: "turn round",
      priority: 0,
      run: (skb: Skb, state) => {
        if (!skb.ip.isFragment || held.length >= 3) return NF_ACCEPT;
        held.push(skb.clone());
        if (held.length < 3) return NF_DROP;
        for (const each of [held[2], held[1], held[2], held[0]]) {
          state.okfn((each as Skb).clone(), server);
        }
        return NF_DROP;
      },
    });
    expect(outcome(ping(client, "10.2.0.2", { length: 4000 }))).toBe("connected");
    expect(lab.clock.pending).toBe(0);
  });
});
