import { Data, IPPROTO_UDP, IpPacket, parseIp, UdpDatagram } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, connect, Lab, serve, up } from "../../test/lab.ts";
import { Skb } from "../skb.ts";

const NFT = (rule: string, ct = "ct state new,established"): string =>
  `table ip6 t {
    chain c { type filter hook prerouting priority -141; meta l4proto udp ${rule}; }
    chain d { type filter hook input priority 0; ${ct} counter; }
  }`;

// Each row as Linux 6.18 does it; Udp6InCsumErrors counts those lost.
test.each([
  ["ip6 dscp set af11", 4000, "timeout"],
  ["ip6 dscp set cs0", 4000, "connected"], // as it was
  ["ip6 dscp set af11 ip6 dscp set cs0", 4000, "connected"],
  ["ip6 hoplimit set 9", 4000, "timeout"],
  ["ip6 hoplimit set 9 ip6 hoplimit set 64", 4000, "connected"],
  ["ip6 saddr set fd00::7", 4000, "timeout"],
  ["ip6 dscp set af11", 1000, "connected"], // never cut: the sender leaves the sum to the network card
])("IPv6 header written after tracking has summed: %s, %d bytes: %s", (rule, length, expected) => {
  const [client, server] = new Lab().machine("client", "server");
  const [a, b] = cable(client, "eth0", server, "eth0");
  up(a, "fd00::1/64");
  up(b, "fd00::2/64");
  serve(server, 53, IPPROTO_UDP);
  server.nftables.apply(NFT(rule));
  expect(connect(client, "fd00::2", 53, { protocol: IPPROTO_UDP, length }).outcome).toBe(expected);
});

test.each([
  [64, 0],
  [1000, 1],
])("whose sender sums itself, as a packet socket does: of %i bytes, %i lost", (length, lost) => {
  const [client, server] = new Lab().machine("client", "server");
  const [a, b] = cable(client, "eth0", server, "eth0");
  up(a, "fd00::1/64");
  up(b, "fd00::2/64");
  serve(server, 53, IPPROTO_UDP);
  server.nftables.apply(NFT("ip6 hoplimit set 9"));
  const udp = new UdpDatagram(1, 53, new Data(length));
  const packet = new IpPacket(parseIp("fd00::1"), parseIp("fd00::2"), IPPROTO_UDP, udp);
  const skb = Skb.ofIp(packet, undefined);
  skb.summedBySender = true;
  skb.dstMac = b.mac;
  a.queueTransmit(skb);
  server.network.run();
  const drops = server.network.takeDrops().filter(({ reason }) => reason === "UDP_CSUM");
  expect(drops).toHaveLength(lost);
});

test("what nobody has summed is not lost", () => {
  const [client, server] = new Lab().machine("client", "server");
  const [a, b] = cable(client, "eth0", server, "eth0");
  up(a, "fd00::1/64");
  up(b, "fd00::2/64");
  serve(server, 53, IPPROTO_UDP);
  server.nftables.apply(NFT("ip6 dscp set af11", "meta l4proto udp"));
  const asked = { protocol: IPPROTO_UDP, length: 4000 };
  expect(connect(client, "fd00::2", 53, asked).outcome).toBe("connected");
});
