import {
  FragmentPayload,
  IcmpMessage,
  type IpPacket,
  NeighbourMessage,
  type Payload,
} from "@cnilab/net";

/**
 * What follows the IP header: of a packet that was cut, the first fragment has it and the others
 * (`undefined`) do not.
 */
export function transportHeader(packet: IpPacket): Payload | undefined {
  const payload = packet.payload;
  if (!(payload instanceof FragmentPayload)) return payload;
  return payload.offset === 0 ? payload.whole.payload : undefined;
}

/** Type in the high byte and code in the low of an ICMP or ICMPv6 message; -1 if it is none. */
export function icmpTypeAndCode(header: Payload | undefined): number {
  if (header instanceof IcmpMessage) return (header.type << 8) | header.code;
  return header instanceof NeighbourMessage ? header.type << 8 : -1;
}
