import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Data, type Ipv6Address, multicastMac, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { Kernel } from "../kernel.ts";
import { solicitedNode } from "../neighbour/ndisc.ts";
import { Network } from "../network.ts";
import { PacketSocket } from "../socket/packet-socket.ts";
import { UdpSocket } from "../socket/udp.ts";
import { Nic } from "./nic.ts";
import { Segment } from "./segment.ts";
import { isSolicitedMac } from "./solicited-audience.ts";

const address = (text: string) => parseIp(text) as Ipv6Address;

function machines(count: number): Nic[] {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const segment = new Segment(network, "lan");
  return Array.from({ length: count }, (_, i) => {
    const { initNs } = new Kernel(network, `m${i}`);
    const nic = new Nic(initNs, { name: "eth0", segment });
    nic.setUp();
    nic.addAddress(address(`fd00::${i + 1}`), 64);
    return nic;
  });
}

/** Which machines see frames when the first one asks for an address. */
function hear(nics: readonly Nic[], about: Ipv6Address): number[] {
  const [asks] = nics as [Nic];
  asks.network.clock.settle();
  const before = nics.map(({ rxPackets }) => rxPackets);
  const socket = new UdpSocket(asks.netns, { owner: "test" });
  socket.sendTo(about, 7, Data.empty);
  socket.close();
  asks.network.clock.settle();
  return nics.flatMap((nic, i) => (i > 0 && nic.rxPackets > (before[i] ?? 0) ? [i] : []));
}

test("groups are told from other MACs", () => {
  expect(isSolicitedMac(multicastMac(solicitedNode(address("fd00::1:2"))))).toBe(true);
  expect(isSolicitedMac(multicastMac(address("ff02::1")))).toBe(false);
  expect(isSolicitedMac(0x02aa_bbcc_ddee)).toBe(false);
});

test("a question goes to the machine that has the address, and to no other card", () => {
  expect(hear(machines(5), address("fd00::3"))).toEqual([2]);
});

test("nobody has it: nobody hears of it", () => {
  expect(hear(machines(3), address("fd00::77"))).toEqual([]);
});

test.each<[string, (nic: Nic) => void]>([
  ["another address that ends alike", (nic) => void nic.addAddress(address("fd01::3"), 64)],
  ["who answers for others", (nic) => nic.netns.neighboursOf(nic).addProxy(address("fd00::3"))],
  ["who listens to all", (nic) => nic.setPromiscuous(true)],
  ["tcpdump", (nic) => void new PacketSocket(nic, 0x86dd, "tcpdump", () => {})],
])("%s hears it, too, from then on", (_, change) => {
  const nics = machines(5);
  expect(hear(nics, address("fd00::3"))).toEqual([2]);
  nics[0]?.netns.neighboursOf(nics[0]).delete(address("fd00::3"));
  change(nics[3] as Nic);
  expect(hear(nics, address("fd00::3"))).toEqual([2, 3]);
});
