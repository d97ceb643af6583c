import { ETHERNET_HEADER_LENGTH, EthernetFrame } from "../ethernet.ts";
import { Data } from "../payload.ts";
import { readMac, requireOctets, writeMac } from "./octets.ts";

export function writeEthernetHeader(octets: DataView, frame: EthernetFrame): void {
  writeMac(octets, 0, frame.dst);
  writeMac(octets, 6, frame.src);
  octets.setUint16(12, frame.etherType);
}

/** A frame without its payload. */
export function readEthernetHeader(octets: DataView): EthernetFrame {
  requireOctets(octets, ETHERNET_HEADER_LENGTH, "Ethernet");
  const etherType = octets.getUint16(12);
  return new EthernetFrame(readMac(octets, 0), readMac(octets, 6), etherType, Data.empty);
}
