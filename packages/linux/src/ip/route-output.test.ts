import { IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, connect, Lab, outcome, ping, routes, rule, serve, up } from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";

/** client 10.0.0.1 (fd00::1) and server 10.0.0.2 (fd00::2), whose end takes `mtu` bytes. */
function linked(mtu = 1500): { client: NetNamespace; server: NetNamespace } {
  const [client, server] = new Lab().machine("client", "server");
  const ends = cable(client, "eth0", server, "eth0");
  for (const end of ends) end.setMtu(mtu);
  up(ends[0], "10.0.0.1/24", "fd00::1/64");
  up(ends[1], "10.0.0.2/24", "fd00::2/64");
  serve(server, 80);
  serve(server, 53, IPPROTO_UDP);
  return { client, server };
}

describe("a rule for the source that the route chose (ip_route_connect)", () => {
  test("holds for connected sockets", () => {
    const { client } = linked();
    rule(client, "priority 10 from 10.0.0.0/24 blackhole");
    expect(outcome(connect(client, "10.0.0.2", 80))).toBe("unreachable, EINVAL");
    expect(outcome(connect(client, "10.0.0.2", 53, { protocol: IPPROTO_UDP }))).toBe(
      "unreachable, EINVAL",
    );
  });

  test("is not seen by IPv6, which keeps the route that it found without a source", () => {
    const { client } = linked();
    rule(client, "priority 10 from fd00::/64 blackhole", 6);
    expect(outcome(connect(client, "fd00::2", 80))).toBe("connected");
  });

  test("is seen by IPv6 where there is no route without a source (ip6_dst_lookup_tail)", () => {
    const { client } = linked();
    expect(outcome(ping(client, "fd09::1"))).toBe("unreachable, ENETUNREACH");
    rule(client, "priority 10 from fd00::/64 prohibit", 6);
    expect(outcome(ping(client, "fd09::1"))).toBe("unreachable, EACCES");
    rule(client, "priority 9 from fd00::/64 lookup 100", 6);
    routes(client, "fd09::/16 via fd00::2 table 100");
    expect(outcome(ping(client, "fd09::1"))).toBe(
      "unreachable, ENETUNREACH, IP_INNOROUTES in server",
    );
  });

  test("is not seen by sockets that are not connected", () => {
    const { client } = linked();
    rule(client, "priority 10 from 10.0.0.0/24 blackhole");
    expect(outcome(ping(client, "10.0.0.2"))).toBe("connected");
  });
});

describe("with a device given", () => {
  // ip_route_output_key_hash_rcu; ip6_route_output_flags
  test.each([
    ["10.9.0.1", "where no route leads", [], "on the link"],
    ["10.0.0.2", "that a route forbids", ["prohibit 10.0.0.2"], "on the link"],
    ["10.0.0.2", "in a black hole", ["blackhole 10.0.0.0/25"], "on the link"],
    ["fd09::1", "where no route leads", [], "ENETUNREACH"],
    ["fd00::2", "that a route forbids", ["prohibit fd00::2"], "EACCES"],
  ])("%s, %s", (to, _, lines, expected) => {
    const { client } = linked();
    routes(client, ...lines);
    const route = client.routeGet({ dst: parseIp(to), oif: client.device("eth0") });
    expect(typeof route === "string" ? route : (route.dst.gateway ?? "on the link")).toBe(expected);
  });

  test("IPv6 leaves by another one all the same, where the source is given, too", () => {
    const { client } = linked();
    routes(client, "fd00::2 dev lo");
    const eth0 = client.device("eth0");
    const devOf = (src?: string): string => {
      const dst = parseIp("fd00::2");
      const route = client.routeGet({ dst, oif: eth0, ...(src && { src: parseIp(src) }) });
      return typeof route === "string" ? route : route.dst.dev.name;
    };
    expect([devOf(), devOf("fd00::1")]).toEqual(["eth0", "lo"]);
  });
});

describe("a route's MTU", () => {
  test.each([
    ["counts where it is less than the device's", "1300", 1300],
    ["counts where it is more than the device's (ip_dst_mtu_maybe_forward)", "1490", 1490],
  ])("%s", (_, mtu, expected) => {
    const { client } = linked(1400);
    routes(client, `10.1.0.0/16 via 10.0.0.2 mtu ${mtu}`);
    const route = client.routeGet({ dst: parseIp("10.1.0.1") });
    expect(typeof route === "string" ? route : route.dst.mtu).toBe(expected);
  });
});

test("of two IPv6 addresses alike the newer one is the source, and is listed first (ipv6_link_dev_addr)", () => {
  const { client, server } = linked();
  const eth0 = client.device("eth0");
  eth0.addAddress(parseIp("fd00::66"), 64);
  expect(eth0.addresses6.map(({ address }) => address).slice(0, 2)).toEqual(
    ["fd00::66", "fd00::1"].map(parseIp),
  );
  const seen = connect(client, "fd00::2", 80).report;
  expect([seen?.netns, seen?.seenAddress]).toEqual([server, parseIp("fd00::66")]);
});
