import { describe, expect, test } from "vitest";
import { octets } from "../../test/octets.ts";
import { type IpAddress, parseIp } from "../ip-address.ts";
import { IPPROTO_UDP, IpPacket } from "../ip-packet.ts";
import { Data } from "../payload.ts";
import { UdpDatagram } from "../udp.ts";
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
