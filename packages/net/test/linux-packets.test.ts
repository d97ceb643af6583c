import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  type ArpPacket,
  Data,
  decodeEthernet,
  encodeEthernet,
  formatIp,
  formatMac,
  IcmpMessage,
  IpPacket,
  NeighbourMessage,
  type Payload,
  QuotedPacket,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
} from "../src/index.ts";

// What a Linux 6.18 kernel sent, recorded by fixtures/record-linux-packets.sh with tcpdump 4.99.3.
const frames = pcapFrames(readFileSync(new URL("fixtures/linux-packets.pcap", import.meta.url)));

const all = frames.map((bytes, i) => [i + 1, bytes] as const);

/** An IPv4 option, an IPv6 extension header. */
const DROPPED = [78, 79];
/** Quotes whose transport checksum covers data that was cut off. */
const CUT = [19, 42];

describe("every frame of a kernel", () => {
  test.each(all)("%i has no bad checksum", (_, bytes) => {
    expect(decodeEthernet(bytes).badChecksums).toEqual([]);
  });

  test.each(all.filter(([number]) => ![...DROPPED, ...CUT].includes(number)))(
    "%i encodes to the same bytes",
    (_, bytes) => {
      expect(encodeEthernet(decodeEthernet(bytes).packet)).toEqual(bytes);
    },
  );

  test.each(CUT)("%i encodes to the same bytes but for the checksum in the quote", (number) => {
    const bytes = frames[number - 1] as Uint8Array;
    const again = encodeEthernet(decodeEthernet(bytes).packet);
    const differ = [...bytes].flatMap((byte, at) => (byte === again[at] ? [] : [at]));
    const ipHeaderLength = number === 19 ? 20 : 40;
    const icmp = 14 + ipHeaderLength;
    const udp = icmp + 8 + ipHeaderLength;
    expect(differ).toEqual([icmp + 2, icmp + 3, udp + 6, udp + 7]);
  });

  test.each(all)("%i is noticed when one bit is wrong", (_, bytes) => {
    const { packet } = decodeEthernet(bytes);
    if (!(packet.payload instanceof IpPacket) || packet.payload.payload instanceof Data) return;
    const damaged = bytes.slice();
    (damaged[damaged.length - 1] as number) ^= 1;
    expect(decodeEthernet(damaged).badChecksums).not.toEqual([]);
  });
});

test.each([
  [1, "ARP 1 02:00:00:00:00:0a 10.0.0.1 00:00:00:00:00:00 10.0.0.2"],
  [2, "ARP 2 02:00:00:00:00:0b 10.0.0.2 02:00:00:00:00:0a 10.0.0.1"],
  [3, "10.0.0.1 > 10.0.0.2 TCP 33880 > 80 flags 2 mss 1460, 0"],
  [4, "10.0.0.2 > 10.0.0.1 TCP 80 > 33880 flags 18 mss 1460, 0"],
  [6, "10.0.0.1 > 10.0.0.2 TCP 33880 > 80 flags 24 mss 0, 3"],
  [14, "10.0.0.2 > 10.0.0.1 ICMP 3/3 about 10.0.0.1 > 10.0.0.2 UDP 54878 > 9999, 16"],
  [17, "10.0.0.1 > 10.0.0.2 fragment 0+, 1480"],
  [18, "10.0.0.1 > 10.0.0.2 fragment 1480, 576"],
  [22, "10.0.0.1 > 10.0.0.2 ICMP 8/0 7.1, 9"],
  [24, "fd00::1 > ff02::1:ff00:2 ND 135 fd00::2 02:00:00:00:00:0a ---"],
  [25, "fd00::2 > fd00::1 ND 136 fd00::2 02:00:00:00:00:0b RSO"],
  [26, "fd00::1 > fd00::2 TCP 39076 > 80 flags 2 mss 1440, 0"],
  [40, "fd00::1 > fd00::2 fragment 0+, 1448"],
  [41, "fd00::1 > fd00::2 fragment 1448, 608"],
  [
    48,
    "10.0.0.1 > 10.0.0.2 UDP 58002 > 8472, VXLAN 4242 ARP 1 02:00:00:00:01:01 10.1.0.1 00:00:00:00:00:00 10.1.0.2",
  ],
  [69, "10.0.0.2 > 10.0.0.1 ICMP 3/4 0.1450 about 10.0.0.1 > 10.9.0.1 UDP 44618 > 9999, 1472"],
  [71, "10.0.0.2 > 10.0.0.1 ICMP 11/0 about 10.0.0.1 > 10.9.0.2 UDP 46243 > 9999, 3"],
  [73, "fd00::2 > fd00::1 ICMP 2/0 0.1450 about fd00::1 > fd09::1 UDP 34278 > 9999, 1452"],
  [76, "10.0.0.1 > 10.0.0.2 protocol 253, 24"],
  // IGMP behind the router alert option.
  [78, "10.0.0.1 > 224.0.0.22 protocol 2, 16"],
  // MLD behind a hop-by-hop header.
  [79, "fe80::ff:fe00:a > ff02::16 ICMP 143/0 0.1, 20"],
])("frame %i is %s", (number, expected) => {
  const { payload } = decodeEthernet(frames[number - 1] as Uint8Array).packet;
  expect(summary(payload)).toBe(expected);
});

function summary(p: Payload): string {
  if (p instanceof IpPacket) {
    const { src, dst, protocol, payload } = p;
    const ends = `${formatIp(src)} > ${formatIp(dst)}`;
    if (p.isFragment) {
      return `${ends} fragment ${p.fragmentOffset}${p.moreFragments ? "+" : ""}, ${payload.length}`;
    }
    return payload instanceof Data
      ? `${ends} protocol ${protocol}, ${payload.length}`
      : `${ends} ${summary(payload)}`;
  }
  if (p instanceof TcpSegment) {
    return `TCP ${p.srcPort} > ${p.dstPort} flags ${p.flags} mss ${p.mss}, ${p.payload.length}`;
  }
  if (p instanceof UdpDatagram) return `UDP ${p.srcPort} > ${p.dstPort}, ${summary(p.payload)}`;
  if (p instanceof VxlanPacket) return `VXLAN ${p.vni} ${summary(p.frame.payload)}`;
  if (p instanceof IcmpMessage) {
    const rest = p.rest === 0 ? "" : ` ${p.rest >>> 16}.${p.rest & 0xffff}`;
    const about = p.payload instanceof QuotedPacket ? " about " : ", ";
    return `ICMP ${p.type}/${p.code}${rest}${about}${summary(p.payload)}`;
  }
  if (p instanceof QuotedPacket) return summary(p.packet);
  if (p instanceof NeighbourMessage) {
    const flags = `${p.router ? "R" : "-"}${p.solicited ? "S" : "-"}${p.override ? "O" : "-"}`;
    return `ND ${p.type} ${p.target} ${formatMac(p.linkLayerAddress ?? 0)} ${flags}`;
  }
  if (p instanceof Data) return `${p.length}`;
  const arp = p as ArpPacket;
  return `ARP ${arp.op} ${formatMac(arp.senderMac)} ${formatIp(arp.senderIp)} ${formatMac(arp.targetMac)} ${formatIp(arp.targetIp)}`;
}

/** The packets of a little-endian pcap file. */
function pcapFrames(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  expect(view.getUint32(0, true)).toBe(0xa1b2c3d4);
  const found: Uint8Array[] = [];
  for (let at = 24; at < file.length; ) {
    const length = view.getUint32(at + 8, true);
    // A copy without Buffer's own class, which would not be equal to what we encode.
    found.push(Uint8Array.from(file.subarray(at + 16, at + 16 + length)));
    at += 16 + length;
  }
  return found;
}
