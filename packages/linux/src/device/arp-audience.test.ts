import { SeededRandom, VirtualClock } from "@cnilab/core";
import { ARP_REQUEST, ArpPacket, Data, type Ipv4Address, Prefix, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Kernel } from "../kernel.ts";
import { KernelError } from "../kernel-error.ts";
import { ignoresArp } from "../neighbour/arp.ts";
import { Network } from "../network.ts";
import { PacketSocket } from "../socket/packet-socket.ts";
import { UdpSocket } from "../socket/udp.ts";
import { Nic } from "./nic.ts";
import { Segment } from "./segment.ts";

const MACHINES = 4;
const address = (i: number) => parseIp(`10.0.0.${i}`) as Ipv4Address;

/** What happens to machine `on`, about address or machine `about`. */
const EVENTS: Readonly<Record<string, (nic: Nic, about: number, clock: VirtualClock) => void>> = {
  address: (nic, about) => void nic.addAddress(address(about), 24),
  proxy: (nic, about) => nic.netns.neighboursOf(nic).addProxy(address(about)),
  proxy_arp: (nic, about) => nic.netns.sysctl.set("net/ipv4/conf/eth0/proxy_arp", about & 1),
  arp_accept: (nic, about) => nic.netns.sysctl.set("net/ipv4/conf/all/arp_accept", about & 1),
  local: (nic, about) =>
    nic.netns.addRoute({ dst: Prefix.host(address(about)), type: "local", dev: nic }, "replace"),
  learn: (nic, about) =>
    nic.netns.neighboursOf(nic).learn(address(about), 0x020000000000 + about, "REACHABLE", {
      create: true,
      override: "yes",
    }),
  relearn: (nic, about) =>
    nic.netns
      .neighboursOf(nic)
      .learn(address(about), 0x0200000000ff, "STALE", { create: false, override: "yes" }),
  stays: (nic, about) =>
    nic.netns.neighboursOf(nic).replace(address(about), 0x020000000000 + about),
  forget: (nic, about) => void nic.netns.neighboursOf(nic).delete(address(about)),
  ping: (nic, about) => void ask(nic, about),
  look: (nic) => void new PacketSocket(nic, 0x0806, "tcpdump", () => {}),
  down: (nic) => nic.setDown(),
  up: (nic) => nic.setUp(),
  unplug: (nic) => nic.segment.unplug(nic),
  plug: (nic) => nic.segment.plug(nic),
  wait: (_nic, about, clock) => clock.advance(about * 7000),
};

/** A packet to somebody whose MAC may not be known. */
function ask(nic: Nic, about: number): void {
  const socket = new UdpSocket(nic.netns, { owner: "test" });
  socket.sendTo(address(about), 7, Data.empty);
  socket.close();
}

test("who is left out would have ignored the question", () => {
  const event = fc.record({
    what: fc.constantFrom(...Object.keys(EVENTS)),
    on: fc.nat(MACHINES - 1),
    about: fc.integer({ min: 1, max: MACHINES + 2 }),
  });
  const question = fc.record({
    target: fc.integer({ min: 1, max: MACHINES + 2 }),
    sender: fc.integer({ min: 0, max: MACHINES + 2 }),
    mac: fc.constantFrom(0, 0xff),
  });
  let leftOut = 0;
  fc.assert(
    fc.property(fc.array(fc.tuple(event, question), { maxLength: 25 }), (steps) => {
      const clock = new VirtualClock();
      const network = new Network(clock, new SeededRandom(1));
      const segment = new Segment(network, "lan");
      const nics = Array.from({ length: MACHINES }, (_, i) => {
        const { initNs } = new Kernel(network, `m${i}`);
        const nic = new Nic(initNs, { name: "eth0", segment, mac: 0x020000000001 + i });
        nic.setUp();
        nic.addAddress(address(i + 1), 24);
        return nic;
      });
      for (const [{ what, on, about }, { target, sender, mac }] of steps) {
        try {
          EVENTS[what]?.(nics[on] as Nic, about, clock);
        } catch (error) {
          if (!(error instanceof KernelError)) throw error;
        }
        const senderMac = 0x020000000000 + (mac || sender);
        const senderIp = sender === 0 ? 0 : address(sender);
        const asked = new ArpPacket(ARP_REQUEST, senderMac, senderIp, 0, address(target));
        const audience = new Set(segment.arpAudience.of(asked));
        for (const nic of segment.nics) {
          if (audience.has(nic)) continue;
          leftOut++;
          expect(ignoresArp(nic, asked)).toBe(true);
        }
      }
    }),
    { numRuns: 300 },
  );
  expect(leftOut).toBeGreaterThan(0);
});
