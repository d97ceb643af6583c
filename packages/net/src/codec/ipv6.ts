import { NO_IP_OPTIONS } from "../ip-option.ts";
import { IpPacket, NEXTHDR_DEST, NEXTHDR_FRAGMENT } from "../ip-packet.ts";
import type { Ipv6Address } from "../ipv6-address.ts";
import { Data } from "../payload.ts";
import { readDestinationOptions, writeDestinationOptions } from "./ip-options.ts";
import { readIpv6, requireOctets, slice, writeIpv6 } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

export const IPV6_HEADER_LENGTH = 40;

// Extension headers (RFC 8200 section 4, RFC 4302, RFC 6275, RFC 7401, RFC 5533)
const NEXTHDR_HOP = 0;
const NEXTHDR_ROUTING = 43;
const NEXTHDR_AUTH = 51;
const NEXTHDR_MOBILITY = 135;
const NEXTHDR_HIP = 139;
const NEXTHDR_SHIM6 = 140;

/** Writes the header of a packet, with one of destination options and a fragment header where it has them. @throws RangeError for what IPv6 cannot say */
export function writeIpv6Header(octets: DataView, packet: IpPacket): void {
  const payloadLength = packet.length - IPV6_HEADER_LENGTH;
  if (payloadLength > 0xffff) {
    throw new RangeError(`an IPv6 packet carries at most 65535 bytes, not ${payloadLength}`);
  }
  octets.setUint32(0, (6 << 28) | ((packet.tos & 0xff) << 20) | (packet.flowLabel & 0xfffff));
  octets.setUint16(4, payloadLength);
  const hasOptions = packet.options.length > 0;
  const next = packet.isFragment ? NEXTHDR_FRAGMENT : packet.protocol;
  octets.setUint8(6, hasOptions ? NEXTHDR_DEST : next);
  octets.setUint8(7, packet.ttl);
  writeIpv6(octets, 8, packet.src as Ipv6Address);
  writeIpv6(octets, 24, packet.dst as Ipv6Address);
  const at = packet.headerLength - (packet.isFragment ? 8 : 0);
  if (hasOptions) {
    writeDestinationOptions(slice(octets, IPV6_HEADER_LENGTH, at), next, packet.options);
  }
  if (!packet.isFragment) return;
  octets.setUint8(at, packet.protocol);
  octets.setUint16(at + 2, packet.fragmentOffset | (packet.moreFragments ? 1 : 0));
  octets.setUint32(at + 4, packet.id);
}

/**
 * A packet without its payload, and the octets of its payload. Of extension headers the first one with destination options
 * and a fragment header are read, all others dropped.
 */
export function readIpv6Header(octets: DataView): {
  packet: IpPacket;
  payload: DataView;
  /** Whether the transport checksum covers another destination: that of a routing header. */
  routed: boolean;
} {
  requireOctets(octets, IPV6_HEADER_LENGTH, "IPv6");
  const version = octets.getUint8(0) >> 4;
  if (version !== 6) throw new PacketSyntaxError("IPv6", "bad version", `version ${version}`);
  const length = IPV6_HEADER_LENGTH + octets.getUint16(4);
  requireOctets(octets, length, "IPv6");

  const src = readIpv6(octets, 8);
  const dst = readIpv6(octets, 24);
  const packet = new IpPacket(src, dst, octets.getUint8(6), Data.empty, octets.getUint8(7));
  packet.tos = (octets.getUint16(0) >> 4) & 0xff;
  packet.flowLabel = octets.getUint32(0) & 0xfffff;

  let routed = false;
  let payload = slice(octets, IPV6_HEADER_LENGTH, length);
  while (!packet.isFragment && isExtensionHeader(packet.protocol)) {
    requireOctets(payload, 8, "IPv6 extension header");
    const extension = packet.protocol;
    packet.protocol = payload.getUint8(0);
    if (extension === NEXTHDR_ROUTING && payload.getUint8(3) > 0) routed = true;
    if (extension === NEXTHDR_FRAGMENT) readFragmentHeader(payload, packet);
    const extensionLength = lengthOfExtension(extension, payload);
    requireOctets(payload, extensionLength, "IPv6 extension header");
    if (extension === NEXTHDR_DEST && packet.options === NO_IP_OPTIONS) {
      packet.options = readDestinationOptions(slice(payload, 2, extensionLength));
    }
    payload = slice(payload, extensionLength);
  }
  return { packet, payload, routed };
}

/** A fragment header of a whole packet (RFC 6946) says nothing. */
function readFragmentHeader(octets: DataView, packet: IpPacket): void {
  packet.fragmentOffset = octets.getUint16(2) & ~7;
  packet.moreFragments = (octets.getUint16(2) & 1) === 1;
  if (packet.isFragment) packet.id = octets.getUint32(4);
}

function isExtensionHeader(protocol: number): boolean {
  switch (protocol) {
    case NEXTHDR_HOP:
    case NEXTHDR_ROUTING:
    case NEXTHDR_FRAGMENT:
    case NEXTHDR_AUTH:
    case NEXTHDR_DEST:
    case NEXTHDR_MOBILITY:
    case NEXTHDR_HIP:
    case NEXTHDR_SHIM6:
      return true;
    default:
      return false;
  }
}

function lengthOfExtension(extension: number, octets: DataView): number {
  if (extension === NEXTHDR_FRAGMENT) return 8;
  const units = octets.getUint8(1);
  return extension === NEXTHDR_AUTH ? (units + 2) * 4 : (units + 1) * 8;
}
