import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { Lab, outcome, ping, routes } from "../../test/lab.ts";
import { Trace } from "../trace.ts";

// The route is that of the address that the program asked for when its data is laid out, and another one when the
// packet leaves, behind DNAT (net/ipv6/ip6_output.c ip6_append_data, ip6_fragment; net/ipv4/ip_output.c).
test.each([
  ["10.9.0.1", "10.0.0.2", { asked: 1300, actual: 1500 }, 2000, { count: 2, mtu: 1300 }],
  ["fd09::1", "fd00::2", { asked: 1300, actual: 1500 }, 2000, { count: 2, mtu: 1300 }],
  ["10.9.0.1", "10.0.0.2", { asked: 1400, actual: 1300 }, 2000, { count: 2, mtu: 1300 }],
  ["fd09::1", "fd00::2", { asked: 1400, actual: 1300 }, 2000, { count: 2, mtu: 1300 }],
  // It fits where it was asked to go, so that DF is set; its own machine cuts it all the same (ignore_df).
  ["10.9.0.1", "10.0.0.2", { asked: 1500, actual: 1300 }, 1400, { count: 2, mtu: 1300 }],
  ["fd09::1", "fd00::2", { asked: 1500, actual: 1300 }, 1400, { count: 2, mtu: 1300 }],
  // Laid out in two, and short enough for the other way: it leaves whole.
  ["10.9.0.1", "10.0.0.2", { asked: 1300, actual: 1500 }, 1400, undefined],
  ["fd09::1", "fd00::2", { asked: 1300, actual: 1500 }, 1400, undefined],
])("to %s, which is %s: path MTUs %o, %i bytes", (asked, actual, mtus, length, cut) => {
  const lab = new Lab();
  const h1 = lab.host("h1", "10.0.0.1/24", "fd00::1/64");
  lab.host("h2", "10.0.0.2/24", "fd00::2/64");
  routes(h1, "10.9.0.0/24 dev eth0", "fd09::/64 dev eth0");
  const family = asked.includes(":") ? 6 : 4;
  h1.iptables(family).append("nat", "OUTPUT", `-d ${asked} -j DNAT --to-destination ${actual}`);
  h1.learnPathMtu(parseIp(asked), mtus.asked);
  h1.learnPathMtu(parseIp(actual), mtus.actual);
  const trace = new Trace();
  expect(outcome(ping(h1, asked, { length, trace }))).toBe("connected");
  const steps = trace.steps.flatMap((s) => (s.kind === "fragment" && s.netns === h1 ? [s] : []));
  const [first] = steps.map(({ count, mtu }) => ({ count, mtu }));
  expect(first).toEqual(cut);
});
