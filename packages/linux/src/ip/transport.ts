import {
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpPacket,
  type SctpPacket,
  type TcpSegment,
  type UdpDatagram,
} from "@cnilab/net";

/** Whether a packet's payload starts with source and destination ports that can be read. */
export function hasPorts(packet: IpPacket): boolean {
  return (
    !packet.isFragment &&
    (packet.protocol === IPPROTO_TCP ||
      packet.protocol === IPPROTO_UDP ||
      packet.protocol === IPPROTO_SCTP)
  );
}

/** The source port; 0 where the packet has none or it cannot be read. */
export function srcPortOf(packet: IpPacket): number {
  return hasPorts(packet) ? (packet.payload as TcpSegment | UdpDatagram | SctpPacket).srcPort : 0;
}

/** The destination port; 0 where the packet has none or it cannot be read. */
export function dstPortOf(packet: IpPacket): number {
  return hasPorts(packet) ? (packet.payload as TcpSegment | UdpDatagram | SctpPacket).dstPort : 0;
}
