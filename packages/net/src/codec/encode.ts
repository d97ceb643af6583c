import { ArpPacket } from "../arp.ts";
import { EspPacket } from "../esp.ts";
import { ETHERNET_HEADER_LENGTH, EthernetFrame } from "../ethernet.ts";
import { GenevePacket } from "../geneve.ts";
import { IcmpMessage, NeighbourMessage, QuotedPacket } from "../icmp.ts";
import {
  FragmentPayload,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
} from "../ip-packet.ts";
import type { Payload } from "../payload.ts";
import { SctpPacket } from "../sctp.ts";
import { SLEEVE_FRAME_OVERHEAD, SLEEVE_PACKET_OVERHEAD, SleevePacket } from "../sleeve.ts";
import { TcpSegment } from "../tcp.ts";
import { UdpDatagram } from "../udp.ts";
import { VXLAN_HEADER_LENGTH, VxlanPacket } from "../vxlan.ts";
import { WireguardData, WireguardHandshake } from "../wireguard.ts";
import { writeArp } from "./arp.ts";
import { internetChecksum, isChecksumRight, pseudoHeaderSum } from "./checksum.ts";
import { writeEspHeader } from "./esp.ts";
import { writeEthernetHeader } from "./ethernet.ts";
import { writeGeneveHeader } from "./geneve.ts";
import { ICMP_CHECKSUM_FIELD, ICMP_HEADER_LENGTH, writeIcmpHeader } from "./icmp.ts";
import { writeIpv4Header } from "./ipv4.ts";
import { writeIpv6Header } from "./ipv6.ts";
import { writeNeighbourMessage } from "./neighbour.ts";
import { bytesOf, slice } from "./octets.ts";
import { writeSctpChecksum, writeSctpHeader } from "./sctp.ts";
import { writeSleeveFrameHeader, writeSleeveHeader } from "./sleeve.ts";
import { TCP_CHECKSUM_FIELD, writeTcpHeader } from "./tcp.ts";
import { UDP_CHECKSUM_FIELD, UDP_HEADER_LENGTH, writeUdpHeader } from "./udp.ts";
import { writeVxlanHeader } from "./vxlan.ts";
import { writeWireguardType } from "./wireguard.ts";

/** The bytes of a frame, without padding and frame check sequence. @throws RangeError for a field out of range */
export function encodeEthernet(frame: EthernetFrame): Uint8Array {
  return bytesOf(encode(frame));
}

/** The bytes of an IPv4 or IPv6 packet. @throws RangeError for a field out of range */
export function encodeIp(packet: IpPacket): Uint8Array {
  return bytesOf(encode(packet));
}

/**
 * Whether the transport checksum of a packet holds for what this packet carries. That of a fragment is the whole
 * packet's: for a first fragment it holds only where what is missing, and the length, add nothing.
 */
export function hasRightChecksum(packet: IpPacket): boolean {
  const { protocol, version, headerLength } = packet;
  const octets = slice(encode(packet), headerLength);
  const hasPseudoHeader = version === 6 || protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
  const sum = hasPseudoHeader ? pseudoHeaderSum(packet, protocol, octets.byteLength) : 0;
  return isChecksumRight(octets, sum);
}

function encode(payload: Payload): DataView {
  const octets = new DataView(new ArrayBuffer(payload.length));
  write(octets, payload, undefined);
  return octets;
}

/** Writes a payload into octets of its length, all zero. `ip` is the packet that it is directly in. */
function write(octets: DataView, payload: Payload, ip: IpPacket | undefined): void {
  if (payload instanceof EthernetFrame) {
    writeEthernetHeader(octets, payload);
    write(slice(octets, ETHERNET_HEADER_LENGTH), payload.payload, undefined);
  } else if (payload instanceof ArpPacket) {
    writeArp(octets, payload);
  } else if (payload instanceof IpPacket) {
    writeIp(octets, payload);
  } else if (payload instanceof TcpSegment) {
    writeTcpHeader(octets, payload);
    write(slice(octets, payload.headerLength), payload.payload, undefined);
    writeChecksum(octets, TCP_CHECKSUM_FIELD, ip, IPPROTO_TCP);
  } else if (payload instanceof UdpDatagram) {
    writeUdp(octets, payload, ip);
  } else if (payload instanceof IcmpMessage) {
    writeIcmpHeader(octets, payload);
    write(slice(octets, ICMP_HEADER_LENGTH), payload.payload, undefined);
    writeChecksum(octets, ICMP_CHECKSUM_FIELD, ip?.version === 6 ? ip : undefined, IPPROTO_ICMPV6);
  } else if (payload instanceof NeighbourMessage) {
    writeNeighbourMessage(octets, payload);
    writeChecksum(octets, ICMP_CHECKSUM_FIELD, ip, IPPROTO_ICMPV6);
  } else if (payload instanceof SctpPacket) {
    writeSctpHeader(octets, payload);
    write(slice(octets, payload.headerLength), payload.payload, undefined);
    writeSctpChecksum(octets);
  } else if (payload instanceof VxlanPacket) {
    writeVxlanHeader(octets, payload);
    write(slice(octets, VXLAN_HEADER_LENGTH), payload.frame, undefined);
  } else if (payload instanceof GenevePacket) {
    writeGeneveHeader(octets, payload);
    write(slice(octets, payload.headerLength), payload.frame, undefined);
  } else if (payload instanceof WireguardData || payload instanceof WireguardHandshake) {
    writeWireguardType(octets, payload);
  } else if (payload instanceof EspPacket) {
    writeEspHeader(octets, payload);
  } else if (payload instanceof SleevePacket) {
    writeSleeve(octets, payload);
  } else if (payload instanceof FragmentPayload) {
    const start = payload.whole.headerLength + payload.offset;
    copy(bytesOf(encode(payload.whole)).subarray(start, start + payload.length), octets);
  } else if (payload instanceof QuotedPacket) {
    copy(bytesOf(encode(payload.packet)).subarray(0, payload.length), octets);
  } else if (payload.bytes !== undefined) {
    copy(payload.bytes, octets);
  }
}

function writeIp(octets: DataView, packet: IpPacket): void {
  if (packet.fragmentOffset % 8 !== 0 || packet.fragmentOffset > 0xffff) {
    throw new RangeError(
      `a fragment offset is a multiple of 8 below 65536, not ${packet.fragmentOffset}`,
    );
  }
  if (packet.version === 4) writeIpv4Header(octets, packet);
  else writeIpv6Header(octets, packet);
  write(slice(octets, packet.headerLength), packet.payload, packet);
}

function writeUdp(octets: DataView, datagram: UdpDatagram, ip: IpPacket | undefined): void {
  writeUdpHeader(octets, datagram);
  write(slice(octets, UDP_HEADER_LENGTH), datagram.payload, undefined);
  if (datagram.noChecksum && ip?.version === 4) return;
  writeChecksum(octets, UDP_CHECKSUM_FIELD, ip, IPPROTO_UDP);
  // Zero says that there is no checksum; all ones is the same sum.
  if (octets.getUint16(UDP_CHECKSUM_FIELD) === 0) octets.setUint16(UDP_CHECKSUM_FIELD, 0xffff);
}

function writeSleeve(octets: DataView, packet: SleevePacket): void {
  writeSleeveHeader(octets, packet);
  if (packet.seal !== undefined) return;
  let at = SLEEVE_PACKET_OVERHEAD;
  for (const carried of packet.frames) {
    writeSleeveFrameHeader(slice(octets, at), carried);
    at += SLEEVE_FRAME_OVERHEAD;
    const { length } = carried.frame;
    write(slice(octets, at, at + length), carried.frame, undefined);
    at += length;
  }
}

/** The Internet checksum of the octets, with the pseudo-header of `ip` where there is one. */
function writeChecksum(
  octets: DataView,
  field: number,
  ip: IpPacket | undefined,
  protocol: number,
): void {
  const sum = ip === undefined ? 0 : pseudoHeaderSum(ip, protocol, octets.byteLength);
  octets.setUint16(field, internetChecksum(octets, field, sum));
}

function copy(bytes: Uint8Array, octets: DataView): void {
  bytesOf(octets).set(bytes);
}
