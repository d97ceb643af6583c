import {
  IcmpMessage,
  type IpAddress,
  type IpPacket,
  type Mac,
  NeighbourMessage,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import type { NetDevice } from "../../device/net-device.ts";
import type { Skb } from "../../skb.ts";
import type { HookState } from "../hooks.ts";
import { icmpTypeAndCode, transportHeader } from "../transport-header.ts";

/** Which end of a packet a part of an element is compared with. */
export type Direction = "src" | "dst";

export function addressOf(packet: IpPacket, direction: Direction): IpAddress {
  return direction === "src" ? packet.src : packet.dst;
}

/**
 * The port of a packet, or an ICMP type and code; 0 for protocols without ports. -1 where it cannot be
 * read: in later fragments (`ip_set_get_ip4_port`).
 */
export function portOf(packet: IpPacket, direction: Direction): number {
  const header = transportHeader(packet);
  if (header === undefined) return -1;
  if (
    header instanceof TcpSegment ||
    header instanceof UdpDatagram ||
    header instanceof SctpPacket
  ) {
    return direction === "src" ? header.srcPort : header.dstPort;
  }
  if (header instanceof IcmpMessage || header instanceof NeighbourMessage) {
    return icmpTypeAndCode(header);
  }
  return 0;
}

/** The device, or with `physdev` the port of the bridge that it is. */
export function deviceOf(
  skb: Skb,
  state: HookState,
  direction: Direction,
  physdev: boolean,
): NetDevice | undefined {
  if (!physdev) return direction === "src" ? state.in : state.out;
  return direction === "src" ? skb.nfBridge?.physin : skb.nfBridge?.physout;
}

export function macOf(skb: Skb, direction: Direction): Mac | undefined {
  if (skb.iif?.isEthernet !== true) return undefined;
  return direction === "src" ? skb.srcMac : skb.dstMac;
}
