import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, forwarding, Lab, routes, rule, up } from "../../test/lab.ts";
import { type FibLookup, fibLookup } from "./fib-lookup.ts";

// net/core/filter.c bpf_ipv4_fib_lookup
test.each<[string, string, Partial<FibLookup>, string, string | undefined]>([
  ["a neighbour that is known", "10.2.0.2", {}, "SUCCESS", "10.2.0.2"],
  ["by a router", "10.9.0.1", {}, "SUCCESS", "10.2.0.2"],
  ["a neighbour that is not", "10.2.0.3", {}, "NO_NEIGH", "10.2.0.3"],
  ["which need not be", "10.2.0.3", { skipNeighbour: true }, "SUCCESS", "10.2.0.3"],
  ["an address of the machine", "10.2.0.1", {}, "NOT_FWDED", undefined],
  ["no route", "172.16.0.1", {}, "NOT_FWDED", undefined],
  ["blackhole", "10.10.0.1", {}, "BLACKHOLE", undefined],
  ["unreachable", "10.11.0.1", {}, "UNREACHABLE", undefined],
  ["prohibit", "10.12.0.1", {}, "PROHIBIT", undefined],
  ["too long", "10.2.0.2", { totalLength: 1501 }, "FRAG_NEEDED", undefined],
  ["a rule for a mark", "10.9.0.1", { mark: 5 }, "BLACKHOLE", undefined],
  ["no rules", "10.9.0.1", { mark: 5, direct: true }, "SUCCESS", "10.2.0.2"],
  ["a table", "10.9.0.1", { direct: true, table: 100 }, "BLACKHOLE", undefined],
  ["no such device", "10.2.0.2", { ifindex: 99 }, "NOT_FWDED", undefined],
  ["a device that does not forward", "10.2.0.2", { ifindex: 1 }, "FWD_DISABLED", undefined],
])("%s", (_name, dst, params, code, nextHop) => {
  const [h, a, b] = new Lab().machine("h", "a", "b");
  const [in0] = cable(h, "in0", a, "eth0");
  const [out0, eth0] = cable(h, "out0", b, "eth0");
  up(in0, "10.1.0.1/24");
  up(out0, "10.2.0.1/24");
  forwarding(h);
  h.sysctl.set("net/ipv4/conf/lo/forwarding", "0");
  routes(h, "10.9.0.0/16 via 10.2.0.2", "blackhole 10.10.0.0/16", "unreachable 10.11.0.0/16");
  routes(h, "prohibit 10.12.0.0/16", "blackhole 10.9.0.0/16 table 100");
  rule(h, "priority 100 fwmark 5 lookup 100");
  h.neighboursOf(out0).replace(parseIp("10.2.0.2"), eth0.mac);
  const ifindex = in0.ifindex;
  const found = fibLookup(h, { dst: parseIp(dst), src: parseIp("10.1.0.2"), ifindex, ...params });
  expect(found.code).toBe(code);
  if (nextHop === undefined) return;
  expect([found.ifindex, found.nextHop]).toEqual([out0.ifindex, parseIp(nextHop)]);
  const resolved = code === "SUCCESS" && params.skipNeighbour !== true;
  expect([found.dstMac, found.srcMac]).toEqual(
    resolved ? [eth0.mac, out0.mac] : [undefined, undefined],
  );
});
