import {
  familyOf,
  formatIp,
  type GeneveOption,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  isMulticast,
  type Payload,
  UdpDatagram,
} from "@cnilab/net";
import type { TunnelKey } from "../bpf/skb-bpf.ts";
import { flowHash } from "../ip/flow-hash.ts";
import { sendVia } from "../ip/ip-output.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import type { NetDevice } from "./net-device.ts";

/** A device that sends frames in UDP to another machine. */
export interface UdpTunnel extends NetDevice {
  /** The namespace in which it was made: its UDP packets live there wherever it moves. */
  readonly underlay: NetNamespace;
  readonly local: IpAddress | undefined;
  readonly port: number;
  /** Of the outer packet; 0 for that of the machine's own packets. */
  readonly ttl: number;
  /** Takes a frame whose other end is this machine itself; where it is absent, that is sent as any other. */
  bypass?(skb: Skb, remote: IpAddress, oif: NetDevice | undefined): void;
}

/**
 * Puts a frame with the tunnel's header into UDP and sends that (`udp_tunnel_xmit_skb`).
 * @param oif the device that it must leave by, where that is said
 * @param key what a program has said of the way, for a device that asks for it
 */
export function udpTunnelTransmit(
  dev: UdpTunnel,
  skb: Skb,
  remote: IpAddress,
  oif: NetDevice | undefined,
  srcPort: number,
  carried: Payload,
  noChecksum: boolean,
  protocol: string,
  key?: TunnelKey,
): void {
  const netns = dev.underlay;
  const route = routeOutput(netns, {
    dst: remote,
    src: key === undefined ? dev.local : key.local,
    oif,
    mark: skb.mark,
    protocol: IPPROTO_UDP,
    srcPort,
    dstPort: dev.port,
  });
  if (typeof route === "string") {
    dev.drop(skb, "IP_OUTNOROUTES", `no route to tunnel endpoint ${formatIp(remote)}`);
    return;
  }
  if (route.dst.dev === dev) {
    const detail = `the route to ${formatIp(remote)} leads into the tunnel itself`;
    dev.drop(skb, "IP_OUTNOROUTES", detail);
    return;
  }
  if (route.dst.isLocal && dev.bypass !== undefined) {
    dev.bypass(skb, remote, oif);
    return;
  }
  const datagram = new UdpDatagram(srcPort, dev.port, carried);
  datagram.noChecksum = noChecksum;
  const family = familyOf(remote);
  const ttl =
    (key === undefined ? dev.ttl : key.ttl) || (isMulticast(remote) ? 1 : netns.defaultTtl(family));
  const outer = new IpPacket(route.src, remote, IPPROTO_UDP, datagram, ttl);
  // Over IPv4 it may be cut; over IPv6 only who sets ignore_df is let (skb_scrub_packet, ip6_fragment).
  outer.dontFragment = family === 6 || key?.dontFragment === true;
  if (skb.isIp) outer.tos = skb.ip.tos & 3; // ECN goes along (RFC 6040)
  if (key?.tos) outer.tos |= key.tos & ~3;
  if (skb.isIp && skb.dst !== undefined) {
    // skb_tunnel_check_pmtu: the inner route learns, the outer packet is cut.
    const room = netns.pathMtu(route.dst, remote) - (outer.length - skb.packet.length);
    const inner = dev.netns;
    if (skb.packet.length > room && room < inner.pathMtu(skb.dst, skb.ip.dst)) {
      inner.learnPathMtu(skb.ip.dst, room);
    }
  }
  skb.trace?.steps.push({
    kind: "encapsulate",
    netns: dev.netns,
    packet: skb.number,
    dev,
    outer: outer.withPayload(datagram),
    protocol,
  });
  skb.scrub(netns !== dev.netns);
  skb.packet = outer;
  skb.forgetFragments();
  skb.etherType = family === 4 ? 0x0800 : 0x86dd;
  sendVia(skb, netns, route.dst, dev);
  skb.sendErrno = undefined; // what becomes of the outer packet is nothing to the sender (NETDEV_TX_OK)
}

/** A port from `min` to `max` that spreads flows, always the same for one flow (`udp_flow_src_port`). */
export function udpFlowSourcePort(skb: Skb, min: number, max: number): number {
  return min + (flowHash(skb) % (max - min + 1));
}

/** What a device that takes frames from everywhere says of one (`udp_tun_rx_dst`). */
export function receivedFrom(
  outer: IpPacket,
  tunnelId: number,
  options?: readonly GeneveOption[],
): TunnelKey {
  const { src: remote, dst: local, ttl, tos } = outer;
  return { tunnelId, remote, local, ttl, tos, options };
}
