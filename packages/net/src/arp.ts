import type { Ipv4Address } from "./ip-address.ts";
import type { Mac } from "./mac.ts";
import type { Payload } from "./payload.ts";

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

/** ARP for IPv4 over Ethernet (RFC 826). */
export class ArpPacket implements Payload {
  op: number;
  senderMac: Mac;
  senderIp: Ipv4Address;
  targetMac: Mac;
  targetIp: Ipv4Address;

  constructor(
    op: number,
    senderMac: Mac,
    senderIp: Ipv4Address,
    targetMac: Mac,
    targetIp: Ipv4Address,
  ) {
    this.op = op;
    this.senderMac = senderMac;
    this.senderIp = senderIp;
    this.targetMac = targetMac;
    this.targetIp = targetIp;
  }

  get length(): number {
    return 28;
  }

  clone(): ArpPacket {
    return new ArpPacket(this.op, this.senderMac, this.senderIp, this.targetMac, this.targetIp);
  }
}
