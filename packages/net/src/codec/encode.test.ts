import { describe, expect, test } from "vitest";
import { octets } from "../../test/octets.ts";
import { type IpAddress, parseIp } from "../ip-address.ts";
import type { IpOption } from "../ip-option.ts";
import { IPPROTO_UDP, IpPacket } from "../ip-packet.ts";
import { Data } from "../payload.ts";
import { UdpDatagram } from "../udp.ts";
import { decodeIp } from "./decode.ts";
import { encodeIp } from "./encode.ts";

function udp(src: string, dst: string, datagram: UdpDatagram): IpPacket {
  return new IpPacket(parseIp(src), parseIp(dst), IPPROTO_UDP, datagram);
}

describe("the UDP checksum", () => {
  const field = (packet: IpPacket) => {
    const bytes = encodeIp(packet);
    return [...bytes.subarray(packet.headerLength + 6, packet.headerLength + 8)];
  };
  const withoutChecksum = () => Object.assign(new UdpDatagram(1, 2), { noChecksum: true });

  test("is left out over IPv4 only", () => {
    expect(field(udp("10.0.0.1", "10.0.0.2", withoutChecksum()))).toEqual([0, 0]);
    expect(field(udp("fd00::1", "fd00::2", withoutChecksum()))).not.toEqual([0, 0]);
  });

  test("is all ones when it comes out as zero", () => {
    // 0x0011 + 0x0008 + 0x0008 of the headers, 0xffde of the port: the sum is all ones.
    expect(field(udp("0.0.0.0", "0.0.0.0", new UdpDatagram(0xffde, 0)))).toEqual([0xff, 0xff]);
  });
});

// https://en.wikipedia.org/wiki/Internet_checksum has the header; the payload is ours.
test("the header of an example known from elsewhere", () => {
  const packet = udp("192.168.0.1", "192.168.0.199", new UdpDatagram(0, 0, new Data(0x73 - 28)));
  packet.dontFragment = true;
  expect(encodeIp(packet).subarray(0, 20)).toEqual(
    octets("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7"),
  );
});

describe("IP options", () => {
  const payload = new UdpDatagram(1, 2, new Data(1));
  const v4 = { type: 0x9a, data: octets("0050 0a600001") };
  const v6 = { type: 0x1b, data: octets(`${"fd".repeat(16)} 0050 0000`) };
  const short = { type: 0x94, data: octets("00") };
  const packet = (src: string, options: readonly IpOption[], moreFragments = false) =>
    Object.assign(new IpPacket(parseIp(src), parseIp(src), 17, payload), {
      options,
      moreFragments,
    });

  test.each([
    ["IPv4", packet("10.0.0.1", [v4]), 28, "9a08 0050 0a60 0001"],
    ["IPv4, padded", packet("10.0.0.1", [short]), 24, "9403 0000"],
    ["IPv4, two", packet("10.0.0.1", [short, v4]), 32, "9403 009a 0800 500a 6000 0100"],
    ["IPv6", packet("fd00::1", [v6]), 64, `1102 1b14 ${"fd".repeat(16)} 0050 0000`],
    ["IPv6, padded", packet("fd00::1", [short]), 48, "1100 9401 0000 0000"],
    ["IPv6 before a fragment header", packet("fd00::1", [short], true), 56, "2c00 9401 0000 0000"],
  ])("%s", (_, sent, headerLength, hex) => {
    expect(sent.headerLength).toBe(headerLength);
    const bytes = encodeIp(sent);
    const at = sent.version === 4 ? 20 : 40;
    expect(bytes.subarray(at, at + octets(hex).length)).toEqual(octets(hex));
    const { packet: received, badChecksums } = decodeIp(bytes);
    expect(badChecksums).toEqual([]);
    expect(received.options).toEqual(sent.options);
    expect(received.headerLength).toBe(headerLength);
    expect(received.protocol).toBe(17);
  });

  test("more than an IPv4 header has room for", () => {
    const many = packet("10.0.0.1", [v4, v4, v4, v4, v4, v4]);
    expect(() => encodeIp(many)).toThrow(
      new RangeError("an IPv4 header has at most 60 bytes, not 68"),
    );
  });

  test("fragments after the first have those with the copied flag", () => {
    const plain = { type: 0x07, data: octets("00") };
    expect(packet("10.0.0.1", [plain, v4]).copiedOptions).toEqual([v4]);
  });
});

describe("what cannot be said is a RangeError", () => {
  const packet = (src: IpAddress, length: number, fragmentOffset = 0) =>
    Object.assign(new IpPacket(src, src, 253, new Data(length)), { fragmentOffset });
  const v6 = parseIp("fd00::1");

  test.each([
    ["the longest IPv4 packet", packet(1, 65_515), undefined],
    ["one byte more", packet(1, 65_516), "an IPv4 packet has at most 65535 bytes, not 65536"],
    ["the longest IPv6 packet", packet(v6, 65_535), undefined],
    ["one byte more", packet(v6, 65_536), "an IPv6 packet carries at most 65535 bytes, not 65536"],
    ["an odd offset", packet(1, 8, 9), "a fragment offset is a multiple of 8 below 65536, not 9"],
    ["an odd offset", packet(v6, 8, 9), "a fragment offset is a multiple of 8 below 65536, not 9"],
    [
      "an offset too far",
      packet(1, 8, 65_536),
      "a fragment offset is a multiple of 8 below 65536, not 65536",
    ],
  ])("%s", (_, p, message) => {
    if (message === undefined) expect(encodeIp(p).length).toBe(p.length);
    else expect(() => encodeIp(p)).toThrow(new RangeError(message));
  });
});
