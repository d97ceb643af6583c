import { ArpPacket } from "../arp.ts";
import { ETH_P_IP } from "../ethernet.ts";
import type { Data } from "../payload.ts";
import { dataOf, readMac, requireOctets, writeMac } from "./octets.ts";

/** Hardware type Ethernet with 6-octet, protocol type IPv4 with 4-octet addresses (RFC 826). */
const ARPHRD_ETHER = 1;
const ADDRESS_LENGTHS = 0x0604;

export function writeArp(octets: DataView, arp: ArpPacket): void {
  octets.setUint16(0, ARPHRD_ETHER);
  octets.setUint16(2, ETH_P_IP);
  octets.setUint16(4, ADDRESS_LENGTHS);
  octets.setUint16(6, arp.op);
  writeMac(octets, 8, arp.senderMac);
  octets.setUint32(14, arp.senderIp);
  writeMac(octets, 18, arp.targetMac);
  octets.setUint32(24, arp.targetIp);
}

/** ARP for other than IPv4 over Ethernet stays data. */
export function readArp(octets: DataView): ArpPacket | Data {
  requireOctets(octets, 8, "ARP");
  if (
    octets.getUint16(0) !== ARPHRD_ETHER ||
    octets.getUint16(2) !== ETH_P_IP ||
    octets.getUint16(4) !== ADDRESS_LENGTHS
  ) {
    return dataOf(octets);
  }
  requireOctets(octets, 28, "ARP");
  return new ArpPacket(
    octets.getUint16(6),
    readMac(octets, 8),
    octets.getUint32(14),
    readMac(octets, 18),
    octets.getUint32(24),
  );
}
