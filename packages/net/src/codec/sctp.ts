import { SCTP_DATA, SCTP_INIT, SCTP_INIT_ACK, SCTP_SACK, SctpPacket } from "../sctp.ts";
import { crc32c } from "./crc32c.ts";
import { bytesOf, dataOf, requireOctets, slice } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

const HEADER_LENGTH = 12;
const CHECKSUM_FIELD = 8;
/** Where the chunk starts. */
const CHUNK = HEADER_LENGTH;

// What the model leaves out is written with the values of a Linux that has just started.
const BEGINNING_AND_ENDING_FRAGMENT = 0x03;
const RECEIVER_WINDOW = 106_496;
const OUTBOUND_STREAMS = 10;
const INBOUND_STREAMS = 0xffff;

/** Writes everything but the payload and the checksum (RFC 9260 section 3). Padding stays zero. */
export function writeSctpHeader(octets: DataView, packet: SctpPacket): void {
  octets.setUint16(0, packet.srcPort);
  octets.setUint16(2, packet.dstPort);
  octets.setUint32(4, packet.verificationTag);
  octets.setUint8(CHUNK, packet.chunkType);
  octets.setUint16(CHUNK + 2, packet.chunkHeaderLength + packet.payload.length);
  switch (packet.chunkType) {
    case SCTP_DATA:
      octets.setUint8(CHUNK + 1, BEGINNING_AND_ENDING_FRAGMENT);
      break;
    case SCTP_INIT:
    case SCTP_INIT_ACK:
      octets.setUint32(CHUNK + 4, packet.initiateTag);
      octets.setUint32(CHUNK + 8, RECEIVER_WINDOW);
      octets.setUint16(CHUNK + 12, OUTBOUND_STREAMS);
      octets.setUint16(CHUNK + 14, INBOUND_STREAMS);
      break;
    case SCTP_SACK:
      octets.setUint32(CHUNK + 8, RECEIVER_WINDOW);
      break;
  }
}

export function writeSctpChecksum(octets: DataView): void {
  octets.setUint32(CHECKSUM_FIELD, sctpChecksum(octets), true);
}

export function hasGoodSctpChecksum(octets: DataView): boolean {
  return octets.getUint32(CHECKSUM_FIELD, true) === sctpChecksum(octets);
}

function sctpChecksum(octets: DataView): number {
  return crc32c(bytesOf(octets), CHECKSUM_FIELD);
}

/** A packet with its first chunk, without flags, sequence numbers and further chunks. */
export function readSctp(octets: DataView): SctpPacket {
  requireOctets(octets, HEADER_LENGTH + 4, "SCTP");
  const packet = new SctpPacket(
    octets.getUint16(0),
    octets.getUint16(2),
    octets.getUint8(CHUNK),
    octets.getUint32(4),
  );
  const length = octets.getUint16(CHUNK + 2);
  if (length < packet.chunkHeaderLength) {
    throw new PacketSyntaxError("SCTP", "bad length", `a chunk length of ${length}`);
  }
  requireOctets(octets, CHUNK + length, "SCTP");
  if (packet.chunkType === SCTP_INIT || packet.chunkType === SCTP_INIT_ACK) {
    packet.initiateTag = octets.getUint32(CHUNK + 4);
  }
  packet.payload = dataOf(slice(octets, CHUNK + packet.chunkHeaderLength, CHUNK + length));
  return packet;
}
