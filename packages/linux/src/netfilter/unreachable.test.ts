// Kernel net/ipv4/netfilter/nf_reject_ipv4.c nf_send_unreach, net/ipv6/netfilter/nf_reject_ipv6.c; asked of kernel 6.18.
import { IPPROTO_UDP } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, connect, forwarding, Lab, routes, up } from "../../test/lab.ts";

describe.each([
  ["10.2.0.2", 4],
  ["fd02::2", 6],
] as const)("REJECT of a datagram to %s", (to, family) => {
  test.each([
    ["whole", 100, false, "refused"],
    ["in fragments, whose checksum cannot be checked", 4000, false, "timeout"],
    ["put together by connection tracking", 4000, true, "refused"],
  ])("%s", (_, length, track, expected) => {
    const [client, router, server] = new Lab().machine("client", "router", "server");
    const [a, b] = cable(client, "eth0", router, "in0");
    const [c, d] = cable(router, "out0", server, "eth0");
    up(a, "10.1.0.2/24", "fd01::2/64");
    up(b, "10.1.0.1/24", "fd01::1/64");
    up(c, "10.2.0.1/24", "fd02::1/64");
    up(d, "10.2.0.2/24", "fd02::2/64");
    forwarding(router);
    routes(client, "0.0.0.0/0 via 10.1.0.1", "::/0 via fd01::1");
    const filter = router.iptables(family);
    if (track) filter.append("filter", "FORWARD", "-m conntrack --ctstate NEW");
    filter.append("filter", "FORWARD", "-p udp -j REJECT");
    const result = connect(client, to, 53, { protocol: IPPROTO_UDP, length });
    expect(result.outcome).toBe(expected);
  });
});
