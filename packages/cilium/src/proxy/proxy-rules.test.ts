import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { expect, test } from "vitest";
import { toProxyMark } from "../datapath/lib/mark.ts";
import { listenerOf, ProxyPorts } from "./proxy-ports.ts";
import { tproxyRules } from "./proxy-rules.ts";

// As iptables-save of a node prints them.
test.each([
  [
    4,
    [
      '-A CILIUM_PRE_mangle -p tcp -m mark --mark 0x10270200 -m comment --comment "cilium: TPROXY to host cilium-http-ingress proxy" -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 0x200/0xffffffff',
      '-A CILIUM_PRE_mangle -p udp -m mark --mark 0x10270200 -m comment --comment "cilium: TPROXY to host cilium-http-ingress proxy" -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 0x200/0xffffffff',
    ],
  ],
  [
    6,
    [
      '-A CILIUM_PRE_mangle -p tcp -m mark --mark 0x10270200 -m comment --comment "cilium: TPROXY to host cilium-http-ingress proxy" -j TPROXY --on-port 10000 --on-ip ::1 --tproxy-mark 0x200/0xffffffff',
      '-A CILIUM_PRE_mangle -p udp -m mark --mark 0x10270200 -m comment --comment "cilium: TPROXY to host cilium-http-ingress proxy" -j TPROXY --on-port 10000 --on-ip ::1 --tproxy-mark 0x200/0xffffffff',
    ],
  ],
] as const)("rules of a proxy, IPv%i", (family, expected) => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const iptables = new Kernel(network, "node").initNs.iptables(family);
  iptables.restore("*mangle\n:CILIUM_PRE_mangle - [0:0]\nCOMMIT\n");
  for (const rule of tproxyRules(family, "cilium-http-ingress", 10_000)) {
    iptables.append("mangle", "CILIUM_PRE_mangle", rule);
  }
  const saved = iptables.save("mangle").split("\n");
  expect(saved.filter((line) => line.startsWith("-A"))).toEqual(expected);
});

test("a mark has the port as it is on the wire", () => {
  expect(toProxyMark(10_000)).toBe(0x10270200);
});

test.each([
  ["http", "ingress", "cilium-http-ingress"],
  ["http", "egress", "cilium-http-egress"],
  ["dns", "egress", "cilium-dns-egress"],
  ["dns", "ingress", undefined],
  ["tls", "egress", "cilium-proxylib-egress"],
  ["kafka", "ingress", "cilium-proxylib-ingress"],
  ["crd", "ingress", undefined],
] as const)("%s of %s leads to %s", (parser, direction, expected) => {
  expect(listenerOf(parser, direction)).toBe(expected);
});

test("ports are in their range, kept, and nobody else's", () => {
  const taken = new Set(Array.from({ length: 10_000 }, (_, i) => 10_000 + i));
  const ports = new ProxyPorts(new SeededRandom(1), (port) => taken.has(port));
  // All but the last one are open already.
  expect(ports.allocate("cilium-http-egress")).toBe(20_000);
  expect(ports.allocate("cilium-http-egress")).toBe(20_000);
  expect(ports.allocate("cilium-http-ingress")).toBeUndefined();
});
