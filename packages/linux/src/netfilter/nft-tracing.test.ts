import { Data, IPPROTO_TCP, IpPacket, parseIp, TcpSegment } from "@cnilab/net";
import { expect, test } from "vitest";
import { Lab } from "../../test/lab.ts";
import { flowHash } from "../ip/flow-hash.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING, NFPROTO_IPV4, nfHook } from "./hooks.ts";

/** Whether changing a packet's source behind a chain changes its hash. */
function changes(tracing: boolean, prepare: (netns: NetNamespace) => void): boolean {
  const [netns] = new Lab().machine("a");
  netns.kernel.nftTracing = tracing;
  prepare(netns);
  const segment = (): TcpSegment => new TcpSegment(1, 2, 2, 0, 0, new Data(0));
  const ip = new IpPacket(parseIp("10.0.0.1"), parseIp("10.0.0.2"), IPPROTO_TCP, segment());
  const skb = Skb.ofIp(ip, undefined);
  const before = flowHash(Skb.ofIp(ip.clone(), undefined));
  const dev = netns.loopback;
  nfHook(netns, NFPROTO_IPV4, NF_INET_PRE_ROUTING, skb, dev, undefined, () => {});
  nfHook(netns, NFPROTO_IPV4, NF_INET_POST_ROUTING, skb, undefined, dev, () => {});
  ip.src = parseIp("10.7.7.7");
  return flowHash(skb) !== before;
}

const nft = (netns: NetNamespace): void =>
  void netns.nftables.apply(
    "add table ip t; add chain ip t c { type filter hook postrouting priority 0; }",
  );
const iptables = (netns: NetNamespace): void =>
  netns.iptables(4).append("mangle", "POSTROUTING", "-j ACCEPT");

// nft_trace_init
test.each([
  ["nftables", nft, true],
  ["nftables", nft, false],
  ["iptables", iptables, true],
  ["iptables", iptables, false],
] as const)("chains of %s hash packets while anybody traces", (_, prepare, tracing) => {
  expect(changes(tracing, prepare)).toBe(!tracing);
});

test("without chains nobody hashes packets", () => {
  expect(changes(true, () => {})).toBe(true);
});
