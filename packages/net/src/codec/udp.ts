import { UdpDatagram } from "../udp.ts";
import { requireOctets, slice } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

export const UDP_CHECKSUM_FIELD = 6;

export const UDP_HEADER_LENGTH = 8;

/** Writes a header (RFC 768) but for its checksum. */
export function writeUdpHeader(octets: DataView, datagram: UdpDatagram): void {
  octets.setUint16(0, datagram.srcPort);
  octets.setUint16(2, datagram.dstPort);
  octets.setUint16(4, datagram.length);
}

/** A datagram without its payload, and the octets of it that its length field counts. */
export function readUdpHeader(octets: DataView): { datagram: UdpDatagram; octets: DataView } {
  requireOctets(octets, UDP_HEADER_LENGTH, "UDP");
  const length = octets.getUint16(4);
  if (length < UDP_HEADER_LENGTH) {
    throw new PacketSyntaxError("UDP", "bad length", `a length of ${length}`);
  }
  requireOctets(octets, length, "UDP");
  const datagram = new UdpDatagram(octets.getUint16(0), octets.getUint16(2));
  return { datagram, octets: slice(octets, 0, length) };
}
