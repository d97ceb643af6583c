// Kernel net/ipv4/icmp.c __icmp_send, net/ipv6/icmp.c icmp6_send; each row was asked of kernel 6.18.
import {
  Data,
  FragmentPayload,
  formatIp,
  IPPROTO_UDP,
  IpPacket,
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
  routeSpec,
  routes,
  rule,
  up,
} from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { routeOutput } from "./route-output.ts";

/** client 10.1.0.2 (fd01::2) behind a router whose way back to it is a second cable, with 10.2.0.1 (fd02::1). */
function twoWays(): { client: NetNamespace; router: NetNamespace } {
  const [client, router] = new Lab().machine("client", "router");
  const [x, near] = cable(client, "eth0", router, "near");
  const [y, far] = cable(client, "eth1", router, "far");
  up(x, "10.1.0.2/32", "fd01::2/128");
  up(y, "10.2.0.2/24", "fd02::2/64");
  up(near, "10.1.0.1/32", "fd01::1/128");
  up(far, "10.2.0.1/24", "fd02::1/64");
  forwarding(router);
  routes(client, "10.1.0.1 dev eth0", "fd01::1 dev eth0");
  routes(client, "0.0.0.0/0 via 10.1.0.1", "::/0 via fd01::1");
  routes(router, "10.1.0.2 via 10.2.0.2", "fd01::2 via fd02::2");
  return { client, router };
}

function answerer(client: NetNamespace, to: string, src: string): string {
  const { error } = ping(client, to, { src });
  return error?.from === undefined ? "" : formatIp(error.from);
}

describe("who tells of an error", () => {
  test.each([
    ["IPv4: the device that the message leaves by", "10.9.0.1", "10.1.0.2", [], "10.2.0.1"],
    [
      "IPv4 with icmp_errors_use_inbound_ifaddr: the device that the packet came by",
      "10.9.0.1",
      "10.1.0.2",
      ["net/ipv4/icmp_errors_use_inbound_ifaddr"],
      "10.1.0.1",
    ],
    ["IPv6: the device that the packet came by", "fd09::1", "fd01::2", [], "fd01::1"],
  ])("%s", (_, to, src, sysctls, expected) => {
    const { client, router } = twoWays();
    for (const path of sysctls) router.sysctl.set(path, 1);
    expect(answerer(client, to, src)).toBe(expected);
  });

  test("IPv6: the preferred source of the route, where it has one", () => {
    const { client, router } = twoWays();
    router.addRoute(routeSpec(router, "fd01::2 via fd02::2 src fd02::1 metric 5"));
    expect(answerer(client, "fd09::1", "fd01::2")).toBe("fd02::1");
  });
});

test("rules see the source of an ICMPv6 error", () => {
  const { client, router } = twoWays();
  rule(router, "priority 10 from fd01::1/128 blackhole", 6);
  expect(outcome(ping(client, "fd09::1", { src: "fd01::2" }))).toBe(
    "timeout, IP_INNOROUTES in router",
  );
});

test.each([
  ["10.9.0.1", "10.1.0.2", 4],
  ["fd09::1", "fd01::2", 6],
] as const)("an error about a packet to %s is related to its connection", (to, src, family) => {
  const { client, router } = twoWays();
  router
    .iptables(family)
    .append("filter", "OUTPUT", "-m conntrack --ctstate RELATED,ESTABLISHED -j DROP");
  expect(outcome(ping(client, to, { src }))).toBe(
    "timeout, NETFILTER_DROP in router, IP_INNOROUTES in router",
  );
  expect(router.conntrack?.size).toBe(0);
});

// icmp_reply and icmpv6_echo_reply hold the socket that the error would leave by, as long as the reply is on its way out.
test.each([
  ["10.1.0.1", 4, "icmp --icmp-type echo-reply"],
  ["fd01::1", 6, "icmpv6 --icmpv6-type echo-reply"],
] as const)("nobody is told of a rejected echo reply of %s", (to, family, reply) => {
  const { client, router } = twoWays();
  const iptables = router.iptables(family);
  iptables.append("filter", "OUTPUT", `-p ${reply} -j REJECT`);
  iptables.append("mangle", "POSTROUTING", "-o lo");
  expect(outcome(ping(client, to))).toBe("timeout, NETFILTER_DROP in router");
  expect(iptables.save("mangle", { counters: true })).toContain("[0:0] -A POSTROUTING -o lo");
});

// nf_conntrack_attach: what answers an untracked packet is taken for tracked by CT, and has no connection
test.each([
  ["10.1.0.1", 4, "icmp -m icmp --icmp-type echo-request"],
  ["fd01::1", 6, "ipv6-icmp -m icmp6 --icmpv6-type echo-request"],
] as const)(
  "an error about an untracked packet to %s is not untracked, but invalid",
  (to, family, request) => {
    const { router } = twoWays();
    const iptables = router.iptables(family);
    iptables.append("raw", "OUTPUT", "-j CT --notrack");
    iptables.append("filter", "OUTPUT", "-m conntrack --ctstate INVALID");
    iptables.append("filter", "OUTPUT", `-p ${request} -m conntrack --ctstate UNTRACKED -j REJECT`);
    ping(router, to);
    const counts = iptables.save("filter", { counters: true }).match(/\[\d+:\d+\] -A OUTPUT/g);
    expect(counts?.map((text) => text[1])).toEqual(["1", "1"]);
  },
);

// nf_reset_ct in __udp4_lib_rcv: nothing is left to attach
test.each([
  ["10.1.0.1", 4],
  ["fd01::1", 6],
] as const)(
  "what UDP says of an untracked packet to a closed port of %s is untracked",
  (to, family) => {
    const { router } = twoWays();
    const iptables = router.iptables(family);
    iptables.append("raw", "OUTPUT", "-j CT --notrack");
    iptables.append("filter", "OUTPUT", "-m conntrack --ctstate INVALID -j DROP");
    const asked = { protocol: IPPROTO_UDP };
    expect(outcome(connect(router, to, 81, asked))).toBe(
      "refused, ECONNREFUSED, NO_SOCKET in router",
    );
  },
);

// ping_err, icmpv6_err: sockets are told of errors about requests; this one's machine answers itself.
test.each([
  ["10.1.0.2", 4, "icmp --icmp-type"],
  ["fd01::2", 6, "icmpv6 --icmpv6-type"],
] as const)("ping is told of a rejected request to %s, not of a reply", (to, family, type) => {
  const told = ["echo-request", "echo-reply"].map((message) => {
    const { client } = twoWays();
    client.iptables(family).append("filter", "INPUT", `-p ${type} ${message} -j REJECT`);
    return outcome(ping(client, to));
  });
  const lost = "NETFILTER_DROP in client";
  expect(told).toEqual([`refused, ECONNREFUSED, ${lost}`, `timeout, ${lost}`]);
});

// icmp6_send asks for no offset, is_ineligible only whether a fragment is of an error
test.each([
  ["10.9.0.1", "10.1.0.2", 4, "-p icmp", 0],
  ["fd09::1", "fd01::2", 6, "-p ipv6-icmp -m icmp6 --icmpv6-type 1", 1],
] as const)("no way to %s, for a later fragment", (dst, src, family, errors, answers) => {
  const { client, router } = twoWays();
  const iptables = router.iptables(family);
  iptables.append("filter", "OUTPUT", errors);
  const whole = new IpPacket(
    parseIp(src),
    parseIp(dst),
    IPPROTO_UDP,
    new UdpDatagram(1, 2, new Data(100)),
  );
  const later = whole.withPayload(new FragmentPayload(whole, 56, 52));
  later.fragmentOffset = 56;
  const skb = Skb.ofIp(later, undefined);
  const route = routeOutput(client, { dst: later.dst, src: later.src });
  if (typeof route !== "string") skb.dst = route.dst;
  client.ipLocalOut(skb);
  client.network.run();
  expect(iptables.save("filter", { counters: true })).toMatch(
    new RegExp(`^\\[${answers}:\\d+\\] -A OUTPUT`, "m"),
  );
});
