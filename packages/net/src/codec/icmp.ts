import { IcmpMessage } from "../icmp.ts";
import { requireOctets } from "./octets.ts";

export const ICMP_CHECKSUM_FIELD = 2;
export const ICMP_HEADER_LENGTH = 8;

/** Writes the header of an ICMP (RFC 792) or ICMPv6 (RFC 4443) message but for its checksum. */
export function writeIcmpHeader(octets: DataView, message: IcmpMessage): void {
  octets.setUint8(0, message.type);
  octets.setUint8(1, message.code);
  octets.setUint32(4, message.rest);
}

/** A message without its payload. */
export function readIcmpHeader(octets: DataView, protocol: "ICMP" | "ICMPv6"): IcmpMessage {
  requireOctets(octets, ICMP_HEADER_LENGTH, protocol);
  return new IcmpMessage(octets.getUint8(0), octets.getUint8(1), octets.getUint32(4));
}
