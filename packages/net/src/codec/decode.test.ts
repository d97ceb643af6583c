import { describe, expect, test } from "vitest";
import { octets } from "../../test/octets.ts";
import { GenevePacket } from "../geneve.ts";
import type { IcmpMessage } from "../icmp.ts";
import type { IpPacket } from "../ip-packet.ts";
import { Data } from "../payload.ts";
import { SCTP_DATA, type SctpPacket } from "../sctp.ts";
import type { TcpSegment } from "../tcp.ts";
import type { UdpDatagram } from "../udp.ts";
import { VxlanPacket } from "../vxlan.ts";
import { type DecodeOptions, decodeEthernet, decodeIp } from "./decode.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

const ADDRESSES = "0a000001 0a000002";
const ADDRESSES6 = "fd000000000000000000000000000001 fd000000000000000000000000000002";

/** An IPv4 packet of 20 bytes of header without checksum. */
function ipv4(protocol: string, payload: string): string {
  const length = (20 + octets(payload).length).toString(16).padStart(4, "0");
  return `4500 ${length} 0000 0000 40${protocol} 0000 ${ADDRESSES} ${payload}`;
}

function ipv6(nextHeader: string, payload: string): string {
  const length = octets(payload).length.toString(16).padStart(4, "0");
  return `60000000 ${length} ${nextHeader} 40 ${ADDRESSES6} ${payload}`;
}

function payloadOf<P>(hex: string, options?: DecodeOptions): P {
  return decodeIp(octets(hex), options).packet.payload as P;
}

describe("what is wrong is said", () => {
  test.each([
    ["nothing", "", "IP packet with 0 of at least 1 bytes (truncated)"],
    ["IP version 5", "50", "IP packet with version 5 (bad version)"],
    ["half an IPv4 header", "45000014 0000", "IPv4 packet with 6 of at least 20 bytes (truncated)"],
    [
      "IPv4 header of 16 bytes",
      `4400 ${ipv4("fd", "").slice(4)}`,
      "IPv4 packet with a header of 16 bytes (bad header length)",
    ],
    [
      "IPv4 total length 19",
      ipv4("fd", "").replace("0014", "0013"),
      "IPv4 packet with a total length of 19 (bad length)",
    ],
    [
      "IPv4 total length 21 of 20",
      ipv4("fd", "").replace("0014", "0015"),
      "IPv4 packet with 20 of at least 21 bytes (truncated)",
    ],
    ["IPv6 in IPIP", ipv4("04", ipv6("3b", "")), "IPv4 packet with version 6 (bad version)"],
    [
      "IPv4 in 6in4",
      ipv4("29", ipv4("fd", "") + "00".repeat(20)),
      "IPv6 packet with version 4 (bad version)",
    ],
    ["half an IPv6 header", "60000000", "IPv6 packet with 4 of at least 40 bytes (truncated)"],
    [
      "IPv6 payload length 9 of 8",
      ipv6("fd", "00".repeat(8)).replace("0008", "0009"),
      "IPv6 packet with 48 of at least 49 bytes (truncated)",
    ],
    [
      "half an extension header",
      ipv6("3c", "0600"),
      "IPv6 extension header packet with 2 of at least 8 bytes (truncated)",
    ],
    [
      "extension header longer than all",
      ipv6("3c", "0601 000000000000"),
      "IPv6 extension header packet with 8 of at least 16 bytes (truncated)",
    ],
    [
      "half a TCP header",
      ipv4("06", "0001 0002 00000003"),
      "TCP packet with 8 of at least 20 bytes (truncated)",
    ],
    [
      "TCP header of 16 bytes",
      ipv4("06", `00010002 00000003 00000004 4002 0001 0000 0000`),
      "TCP packet with a header of 16 bytes (bad header length)",
    ],
    [
      "TCP header of 24 bytes of 20",
      ipv4("06", `00010002 00000003 00000004 6002 0001 0000 0000`),
      "TCP packet with 20 of at least 24 bytes (truncated)",
    ],
    [
      "UDP length 7",
      ipv4("11", "0001 0002 0007 0000"),
      "UDP packet with a length of 7 (bad length)",
    ],
    [
      "UDP length 9 of 8",
      ipv4("11", "0001 0002 0009 0000"),
      "UDP packet with 8 of at least 9 bytes (truncated)",
    ],
    [
      "half an ICMP header",
      ipv4("01", "0800"),
      "ICMP packet with 2 of at least 8 bytes (truncated)",
    ],
    [
      "half a neighbour solicitation",
      ipv6("3a", "8700 0000 00000000 fd00"),
      "ICMPv6 packet with 10 of at least 24 bytes (truncated)",
    ],
    [
      "neighbour option of length 0",
      ipv6("3a", `8700 0000 00000000 ${"00".repeat(16)} 0100 000000000000`),
      "ICMPv6 packet with an option of length 0 (bad option length)",
    ],
    [
      "SCTP chunk length 3",
      ipv4("84", "0001 0002 00000003 00000000 0a000003"),
      "SCTP packet with a chunk length of 3 (bad length)",
    ],
    [
      "SCTP without a chunk",
      ipv4("84", "0001 0002 00000003 00000000"),
      "SCTP packet with 12 of at least 16 bytes (truncated)",
    ],
  ])("%s", (_, hex, message) => {
    expect(() => decodeIp(octets(hex))).toThrow(PacketSyntaxError);
    expect(() => decodeIp(octets(hex))).toThrow(message);
  });

  test("in an error that code can tell from others", () => {
    expect(() => decodeEthernet(octets("ffff"))).toThrow(
      expect.objectContaining({ protocol: "Ethernet", fault: "truncated" }),
    );
  });
});

describe("what has no class stays data", () => {
  test.each([
    ["another EtherType", "88cc", "0207"],
    ["a VLAN tag", "8100", "0064 0800 4500"],
    ["ARP for other than Ethernet", "0806", "0006 0800 0604 0001"],
  ])("%s", (_, etherType, payload) => {
    const { packet } = decodeEthernet(octets(`020000000001 020000000002 ${etherType} ${payload}`));
    expect(packet.payload).toEqual(Data.of(octets(payload)));
  });

  test.each([
    ["GRE", ipv4("2f", "00000800"), "00000800"],
    ["ICMPv6 over IPv4", ipv4("3a", "80"), "80"],
    ["ICMP over IPv6", ipv6("01", "08"), "08"],
    ["no next header", ipv6("3b", "0102"), "0102"],
    ["ESP", ipv6("32", "0102"), "0102"],
  ])("%s", (_, hex, payload) => {
    expect(payloadOf(hex)).toEqual(Data.of(octets(payload)));
  });

  test("what an ICMP error quotes that is no packet", () => {
    expect(payloadOf<IcmpMessage>(ipv4("01", "0301 0000 00000000 ff")).payload).toEqual(
      Data.of(octets("ff")),
    );
  });
});

describe("what the classes cannot say is skipped", () => {
  const udp = "0001 0002 0009 0000 61";
  const isUdp = { srcPort: 1, dstPort: 2, payload: Data.of(octets("61")) };

  test.each([
    ["Ethernet padding", `${ipv4("11", udp)} 00000000`],
    ["data after a UDP datagram", ipv4("11", `${udp} ffff`)],
    ["IPv4 options", `4600 0021 0000 0000 4011 0000 ${ADDRESSES} 94040000 ${udp}`],
    ["hop-by-hop options", ipv6("00", `1100 050200000100 ${udp}`)],
    ["destination options of 16 bytes", ipv6("3c", `1101 010c ${"00".repeat(12)} ${udp}`)],
    ["an authentication header", ipv6("33", `1104 0000 ${"00".repeat(20)} ${udp}`)],
    ["three headers", ipv6("00", `3c00 010400000000 2b00 010400000000 1100 040000000000 ${udp}`)],
    ["a fragment header of a whole packet", ipv6("2c", `1100 0000 12345678 ${udp}`)],
  ])("%s", (_, hex) => {
    const { packet } = decodeIp(octets(hex));
    expect(packet.protocol).toBe(17);
    expect(packet.isFragment).toBe(false);
    expect(packet.payload).toMatchObject(isUdp);
  });

  test.each([
    ["no operation and the end", "01 01 9a03 07 00 9a 03", [[0x9a, "07"]]],
    ["one of length 1", "9a01 0000", []],
    ["one that is longer than all", "9a09 0000", []],
    ["a type at the very end", "010101 9a", []],
  ])("IPv4 options: %s", (_, hex, expected) => {
    const options = octets(hex);
    const first = (0x40 + 5 + options.length / 4).toString(16);
    const { packet } = decodeIp(
      octets(
        `${first}00 00${(29 + options.length).toString(16)} 0000 0000 4011 0000 ${ADDRESSES} ${hex} ${udp}`,
      ),
    );
    expect(packet.options).toEqual(
      expected.map(([type, data]) => ({ type, data: octets(data as string) })),
    );
  });

  test("of two headers with destination options the first", () => {
    const { packet } = decodeIp(octets(ipv6("3c", `3c00 1b02aaaa 0000 1100 1b02bbbb 0000 ${udp}`)));
    expect(packet.options).toEqual([{ type: 0x1b, data: octets("aaaa") }]);
  });

  test("extension headers before a fragment header, not those behind it", () => {
    const { packet } = decodeIp(octets(ipv6("3c", `2c00 010400000000 3c00 0599 12345678 ffff`)));
    expect(packet).toMatchObject({
      protocol: 60,
      id: 0x12345678,
      fragmentOffset: 0x598,
      moreFragments: true,
      payload: Data.of(octets("ffff")),
    });
  });

  test.each([
    ["end of options", "00 0204", 0],
    ["no operation, then MSS", "01 01 0204 05b4 00 00", 1460],
    ["SACK permitted, then MSS", "0402 0204 05b4 0101", 1460],
    ["MSS of the wrong length", "0203 05 00", 0],
    ["an option longer than the header", "0208 05b4", 0],
    ["an option of length 1, then MSS", "0801 0000 0204 05b4", 0],
    ["a kind without a length", "01 01 01 08", 0],
  ])("TCP options: %s", (_, hex, mss) => {
    const options = octets(hex);
    const padded = hex.replaceAll(" ", "").padEnd(Math.ceil(options.length / 4) * 8, "0");
    const offset = 5 + padded.length / 8;
    const header = `0001 0002 00000003 00000004 ${offset.toString(16)}002 ffff 0000 0000`;
    expect(payloadOf<TcpSegment>(ipv4("06", header + padded)).mss).toBe(mss);
  });

  test("SCTP chunks after the first", () => {
    // DATA with one byte, its padding, and a SACK.
    const chunks = "00030011 00000001 00000000 00000000 61 000000 03000010";
    const packet = payloadOf<SctpPacket>(ipv4("84", `0007 0008 00000009 00000000 ${chunks}`));
    expect(packet).toMatchObject({ srcPort: 7, dstPort: 8, chunkType: SCTP_DATA });
    expect(packet.payload).toEqual(Data.of(octets("61")));
  });
});

describe("bad checksums are reported", () => {
  test.each([
    ["IPv4", ipv4("fd", ""), [["IPv4", 0]]],
    [
      "TCP",
      ipv4("06", "0001 0002 00000003 00000004 5002 ffff 1234 0000"),
      [
        ["IPv4", 0],
        ["TCP", 20],
      ],
    ],
    [
      "UDP",
      ipv4("11", "0001 0002 0008 1234"),
      [
        ["IPv4", 0],
        ["UDP", 20],
      ],
    ],
    ["UDP without one over IPv4", ipv4("11", "0001 0002 0008 0000"), [["IPv4", 0]]],
    ["UDP without one over IPv6", ipv6("11", "0001 0002 0008 0000"), [["UDP", 40]]],
    [
      "ICMP",
      ipv4("01", "0800 1234 00000000"),
      [
        ["IPv4", 0],
        ["ICMP", 20],
      ],
    ],
    ["ICMPv6", ipv6("3a", "8000 1234 00000000"), [["ICMPv6", 40]]],
    [
      "SCTP",
      ipv4("84", "0007 0008 00000009 12345678 0b000004"),
      [
        ["IPv4", 0],
        ["SCTP", 20],
      ],
    ],
    ["IPv4 in IPv6", ipv6("04", ipv4("fd", "")), [["IPv4", 40]]],
    // The checksum covers the last address of the route, which is not read.
    ["under way to the first of a route", ipv6("2b", `1100 0401 00000000 0001 0002 0008 1234`), []],
    ["at the end of a route", ipv6("2b", `1100 0400 00000000 0001 0002 0008 1234`), [["UDP", 48]]],
    [
      "in a quoted packet",
      ipv6("3a", `0300 1234 00000000 ${ipv6("11", "0001 0002 0008 1234")}`),
      [["ICMPv6", 40]],
    ],
  ])("%s", (_, hex, expected) => {
    const { badChecksums } = decodeIp(octets(hex));
    expect(badChecksums.map(({ protocol, offset }) => [protocol, offset])).toEqual(expected);
  });

  test("at their place in a frame", () => {
    const frame = `020000000001 020000000002 0800 ${ipv4("fd", "")}`;
    expect(decodeEthernet(octets(frame)).badChecksums).toEqual([{ protocol: "IPv4", offset: 14 }]);
  });
});

describe("VXLAN", () => {
  const frame = "020000000001 020000000002 88cc";
  const toPort = (port: string, flags: string) =>
    ipv4("11", `0001 ${port} 001e 0000 ${flags}000000 001092 00 ${frame}`);
  const only6081 = { vxlanPorts: new Set([6081]) };

  test.each([
    ["4789", "12b5", "08", undefined, true],
    ["8472", "2118", "08", undefined, true],
    ["another port", "0035", "08", undefined, false],
    ["without a valid VNI", "2118", "00", undefined, false],
    ["a port of one's own", "17c1", "08", only6081, true],
    ["8472 where that is not among the ports", "2118", "08", only6081, false],
  ])("%s", (_, port, flags, options, isVxlan) => {
    const datagram = payloadOf<UdpDatagram>(toPort(port, flags), options);
    expect(datagram.payload instanceof VxlanPacket).toBe(isVxlan);
    if (datagram.payload instanceof VxlanPacket) expect(datagram.payload.vni).toBe(4242);
  });

  test("group policy", () => {
    const hex = toPort("2118", "88").replace("88000000", "8800abcd");
    expect(payloadOf<UdpDatagram>(hex).payload).toMatchObject({ vni: 4242, groupPolicyId: 0xabcd });
  });
});

describe("Geneve", () => {
  const frame = "020000000001 020000000002 88cc";
  const geneve = (header: string) => {
    const inside = `${header} ${frame}`;
    const length = (8 + octets(inside).length).toString(16).padStart(4, "0");
    return ipv4("11", `0001 17c1 ${length} 0000 ${inside}`);
  };

  // RFC 8926 section 3.4: version and length of options, O and C flags, protocol, VNI
  test.each([
    ["without options", "00 00 6558 001092 00", 4242],
    ["with an option", "02 00 6558 001092 00 01029101 0a600001", 4242],
    ["with an option that is longer than all", "01 00 6558 001092 00 01029101", undefined],
    ["with options that do not fit", "3f 00 6558 001092 00", undefined],
    ["of a later version", "40 00 6558 001092 00", undefined],
    ["that carries no frame", "00 00 0800 001092 00", undefined],
  ])("%s", (_, header, vni) => {
    const { payload } = payloadOf<UdpDatagram>(geneve(header));
    expect(payload instanceof GenevePacket ? payload.vni : undefined).toBe(vni);
    if (payload instanceof GenevePacket) expect(payload.frame.etherType).toBe(0x88cc);
  });
});

test("data is a copy", () => {
  const bytes = octets(ipv4("fd", "01"));
  const packet: IpPacket = decodeIp(bytes).packet;
  bytes.fill(0);
  expect(packet.payload).toEqual(Data.of(octets("01")));
});
