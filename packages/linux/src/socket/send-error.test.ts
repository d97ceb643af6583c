// Kernel net/netfilter/core.c nf_hook_slow, drivers/net/veth.c veth_xmit, net/ipv4/udp.c udp_send_skb; asked of kernel 6.18.
import { IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, connect, Lab, outcome, ping, routes, rule, serve, up } from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";

function linked(): { client: NetNamespace; server: NetNamespace } {
  const [client, server] = new Lab().machine("client", "server");
  const ends = cable(client, "eth0", server, "eth0");
  up(ends[0], "10.0.0.1/24", "fd00::1/64");
  up(ends[1], "10.0.0.2/24", "fd00::2/64");
  serve(server, 80);
  serve(server, 53, IPPROTO_UDP);
  for (const to of ["10.0.0.2", "fd00::2"]) ping(client, to);
  return { client, server };
}

describe("a rule of the sender's own machine that drops", () => {
  test.each([
    ["filter", "OUTPUT", "-j DROP"],
    ["filter", "OUTPUT", "-j REJECT"],
    ["mangle", "POSTROUTING", "-j DROP"],
  ])("in %s %s with %s fails the call with EPERM", (table, chain, ruleText) => {
    const { client } = linked();
    for (const family of [4, 6] as const) client.iptables(family).append(table, chain, ruleText);
    for (const [to, family] of [
      ["10.0.0.2", 4],
      ["fd00::2", 6],
    ] as const) {
      const eperm = /^unreachable, EPERM, NETFILTER_DROP in client/;
      expect(outcome(connect(client, to, 53, { protocol: IPPROTO_UDP }))).toMatch(eperm);
      // ping_v6_sendmsg does not ask.
      const silence = /^timeout, NETFILTER_DROP in client/;
      expect(outcome(ping(client, to))).toMatch(family === 4 ? eperm : silence);
    }
  });

  test("is silence for TCP, which sends again", () => {
    const { client } = linked();
    client.iptables(4).append("filter", "OUTPUT", "-j DROP");
    const result = connect(client, "10.0.0.2", 80, { protocol: IPPROTO_TCP });
    expect(outcome(result)).toMatch(/^timeout, NETFILTER_DROP in client/);
  });

  test("in another machine is silence", () => {
    const { client, server } = linked();
    server.iptables(4).append("filter", "INPUT", "-j DROP");
    const udp = connect(client, "10.0.0.2", 53, { protocol: IPPROTO_UDP });
    expect(outcome(udp)).toBe("timeout, NETFILTER_DROP in server");
  });
});

test("a mark that leads to a route that refuses fails the call with the route's error", () => {
  const { client } = linked();
  client.iptables(4).append("mangle", "OUTPUT", "-j MARK --set-mark 3");
  rule(client, "priority 10 fwmark 3 lookup 100");
  routes(client, "blackhole 0.0.0.0/0 table 100");
  expect(outcome(ping(client, "10.0.0.2"))).toBe("unreachable, EINVAL, IP_OUTNOROUTES in client");
});

describe("a frame that the other end of a veth does not take", () => {
  test("fails ping's call with ENOBUFS, and is silence for UDP", () => {
    const { client, server } = linked();
    server.device("eth0").setMtu(1300);
    const lost = "PKT_TOO_BIG in server";
    expect(outcome(ping(client, "10.0.0.2", { length: 1400 }))).toBe(
      `unreachable, ENOBUFS, ${lost}`,
    );
    expect(outcome(connect(client, "10.0.0.2", 53, { protocol: IPPROTO_UDP, length: 1400 }))).toBe(
      `timeout, ${lost}`,
    );
  });
});

// ip_do_fragment; the first fragment waits for ARP, whose answer is there before the second one is sent.
test.each(["10.9.0.1", "fd09::1"])(
  "a fragment to %s that the link does not take fails the call",
  (to) => {
    const [client, router] = new Lab().machine("client", "router");
    const ends = cable(client, "eth0", router, "eth0");
    for (const end of ends) end.setMtu(1280);
    up(ends[0], "10.0.0.1/24", "fd00::1/64");
    up(ends[1], "10.0.0.2/24", "fd00::2/64");
    routes(client, "10.9.0.0/16 via 10.0.0.2 mtu 1300", "fd09::/16 via fd00::2 mtu 1300");
    const length = { length: 4000 };
    const asUdp = connect(client, to, 53, { protocol: IPPROTO_UDP, ...length });
    expect(outcome(asUdp)).toMatch(/^timeout, PKT_TOO_BIG/); // udp_send_skb hides ENOBUFS
    const asked = outcome(ping(client, to, length));
    expect(asked).toMatch(to.includes(":") ? /^timeout/ : /^unreachable, ENOBUFS, PKT_TOO_BIG/);
  },
);

// ip6t_mangle_out, nf_route_table_hook6: the second look-up knows the source, and rules see it.
test.each([
  ["iptables", "fd00::2", "unreachable, EINVAL"],
  ["iptables", "10.0.0.2", "connected"],
  ["nft", "fd00::2", "unreachable, EINVAL"],
  ["nft", "10.0.0.2", "connected"],
])(
  "a hop limit that %s changes in OUTPUT has a packet to %s routed anew: %s",
  (tool, to, expected) => {
    const { client } = linked();
    const ask = () => connect(client, to, 53, { protocol: IPPROTO_UDP });
    rule(client, "priority 10 from fd00::/64 blackhole", 6);
    rule(client, "priority 10 from 10.0.0.0/24 to 10.9.0.0/16 blackhole");
    expect(outcome(ask())).toBe("connected");
    if (tool === "iptables") {
      client.iptables(4).append("mangle", "OUTPUT", "-j TTL --ttl-set 9");
      client.iptables(6).append("mangle", "OUTPUT", "-j HL --hl-set 9");
    } else {
      const chain = "type route hook output priority mangle";
      client.nftables.apply(`table ip t { chain c { ${chain}; ip ttl set 9; }; }`);
      client.nftables.apply(`table ip6 t { chain c { ${chain}; ip6 hoplimit set 9; }; }`);
    }
    expect(outcome(ask())).toMatch(expected);
  },
);
