import { IPPROTO_TCP, IPPROTO_UDP, type IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { Socket } from "./socket.ts";
import { bestBound } from "./socket-table.ts";
import { udpLookup } from "./udp.ts";

/** Where a packet comes from and goes to, by which its socket is looked for. */
export interface PacketEnds {
  readonly protocol: number;
  readonly src: IpAddress;
  readonly srcPort: number;
  readonly dst: IpAddress;
  readonly dstPort: number;
}

/**
 * The connection that packets with these ends belong to (`inet_lookup_established`; of UDP a connected socket that is
 * bound to the address, as net/ipv4/netfilter/nf_tproxy_ipv4.c counts them).
 */
export function establishedSocket(netns: NetNamespace, ends: PacketEnds): Socket | undefined {
  const { protocol, src, srcPort, dst, dstPort } = ends;
  if (protocol === IPPROTO_TCP) {
    return netns.sockets.tcpConnections.find({
      localAddress: dst,
      localPort: dstPort,
      remoteAddress: src,
      remotePort: srcPort,
    });
  }
  if (protocol !== IPPROTO_UDP) return undefined;
  const socket = udpLookup(netns, src, srcPort, dst, dstPort);
  const isConnected = socket?.remoteAddress !== undefined && socket.localAddress !== undefined;
  return isConnected ? socket : undefined;
}

/** Who takes what is sent to an address and port and belongs to no connection (`inet_lookup_listener`). */
export function listeningSocket(netns: NetNamespace, ends: PacketEnds): Socket | undefined {
  const { protocol, src, srcPort, dst, dstPort } = ends;
  if (protocol === IPPROTO_TCP) return bestBound(netns.sockets.tcpListeners.on(dstPort), dst);
  if (protocol !== IPPROTO_UDP) return undefined;
  const socket = udpLookup(netns, src, srcPort, dst, dstPort);
  return socket?.remoteAddress === undefined ? socket : undefined;
}

/** Whichever there is (net/ipv4/netfilter/nf_socket_ipv4.c). */
export function anySocket(netns: NetNamespace, ends: PacketEnds): Socket | undefined {
  if (ends.protocol === IPPROTO_UDP) {
    return udpLookup(netns, ends.src, ends.srcPort, ends.dst, ends.dstPort);
  }
  return establishedSocket(netns, ends) ?? listeningSocket(netns, ends);
}
