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

  test("is not seen by sockets that are not connected", () => {
    const { client } = linked();
    rule(client, "priority 10 from 10.0.0.0/24 blackhole");
    expect(outcome(ping(client, "10.0.0.2"))).toBe("connected");
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
