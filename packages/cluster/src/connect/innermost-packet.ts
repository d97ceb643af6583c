import { IpPacket, UdpDatagram, VxlanPacket } from "@cnilab/net";

/** What a packet carries through tunnels, or the packet itself. */
export function innermostOf(packet: IpPacket): IpPacket {
  const { payload } = packet;
  if (payload instanceof IpPacket) return innermostOf(payload);
  if (!(payload instanceof UdpDatagram) || !(payload.payload instanceof VxlanPacket)) return packet;
  const inner = payload.payload.frame.payload;
  return inner instanceof IpPacket ? innermostOf(inner) : packet;
}
