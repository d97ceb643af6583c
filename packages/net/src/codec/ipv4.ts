import { IpPacket } from "../ip-packet.ts";
import { Data } from "../payload.ts";
import { internetChecksum } from "./checksum.ts";
import { readIpv4Options, writeIpv4Options } from "./ip-options.ts";
import { requireOctets, slice } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

export const IPV4_CHECKSUM_FIELD = 10;

export const IPV4_HEADER_LENGTH = 20;
const MAX_HEADER_LENGTH = 60;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;

/** Writes the header of a packet (RFC 791). @throws RangeError for what IPv4 cannot say */
export function writeIpv4Header(octets: DataView, packet: IpPacket): void {
  if (packet.length > 0xffff) {
    throw new RangeError(`an IPv4 packet has at most 65535 bytes, not ${packet.length}`);
  }
  const { headerLength } = packet;
  if (headerLength > MAX_HEADER_LENGTH) {
    throw new RangeError(`an IPv4 header has at most 60 bytes, not ${headerLength}`);
  }
  octets.setUint8(0, 0x40 | (headerLength / 4));
  octets.setUint8(1, packet.tos);
  octets.setUint16(2, packet.length);
  octets.setUint16(4, packet.id);
  octets.setUint16(
    6,
    (packet.dontFragment ? DONT_FRAGMENT : 0) |
      (packet.moreFragments ? MORE_FRAGMENTS : 0) |
      (packet.fragmentOffset >> 3),
  );
  octets.setUint8(8, packet.ttl);
  octets.setUint8(9, packet.protocol);
  octets.setUint32(12, packet.src as number);
  octets.setUint32(16, packet.dst as number);
  writeIpv4Options(slice(octets, IPV4_HEADER_LENGTH, headerLength), packet.options);
  const header = slice(octets, 0, headerLength);
  octets.setUint16(IPV4_CHECKSUM_FIELD, internetChecksum(header, IPV4_CHECKSUM_FIELD));
}

/** A packet without its payload, and the octets of its header with options and of its payload. */
export function readIpv4Header(octets: DataView): {
  packet: IpPacket;
  header: DataView;
  payload: DataView;
} {
  requireOctets(octets, IPV4_HEADER_LENGTH, "IPv4");
  const version = octets.getUint8(0) >> 4;
  if (version !== 4) throw new PacketSyntaxError("IPv4", "bad version", `version ${version}`);
  const headerLength = (octets.getUint8(0) & 15) * 4;
  if (headerLength < IPV4_HEADER_LENGTH) {
    throw new PacketSyntaxError("IPv4", "bad header length", `a header of ${headerLength} bytes`);
  }
  const length = octets.getUint16(2);
  if (length < headerLength) {
    throw new PacketSyntaxError("IPv4", "bad length", `a total length of ${length}`);
  }
  requireOctets(octets, length, "IPv4");

  const src = octets.getUint32(12);
  const dst = octets.getUint32(16);
  const packet = new IpPacket(src, dst, octets.getUint8(9), Data.empty, octets.getUint8(8));
  const fragment = octets.getUint16(6);
  packet.tos = octets.getUint8(1);
  packet.id = octets.getUint16(4);
  packet.dontFragment = (fragment & DONT_FRAGMENT) !== 0;
  packet.moreFragments = (fragment & MORE_FRAGMENTS) !== 0;
  packet.fragmentOffset = (fragment & 0x1fff) * 8;
  packet.options = readIpv4Options(slice(octets, IPV4_HEADER_LENGTH, headerLength));
  return {
    packet,
    header: slice(octets, 0, headerLength),
    payload: slice(octets, headerLength, length),
  };
}
