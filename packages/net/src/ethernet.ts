import type { ArpPacket } from "./arp.ts";
import type { IpPacket } from "./ip-packet.ts";
import type { Mac } from "./mac.ts";
import type { Payload } from "./payload.ts";

export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_IPV6 = 0x86dd;

/** Bytes of an Ethernet header, without VLAN tag and checksum. */
export const ETHERNET_HEADER_LENGTH = 14;

export type NetworkPacket = IpPacket | ArpPacket | Payload;

export class EthernetFrame implements Payload {
  dst: Mac;
  src: Mac;
  etherType: number;
  payload: NetworkPacket;

  constructor(dst: Mac, src: Mac, etherType: number, payload: NetworkPacket) {
    this.dst = dst;
    this.src = src;
    this.etherType = etherType;
    this.payload = payload;
  }

  get length(): number {
    return ETHERNET_HEADER_LENGTH + this.payload.length;
  }

  clone(): EthernetFrame {
    return new EthernetFrame(this.dst, this.src, this.etherType, this.payload.clone());
  }
}
