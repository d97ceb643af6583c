import { TcpSegment, UdpDatagram } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import type { Socket } from "./socket.ts";

/**
 * The connected socket that a packet is for, as the kernel finds it before it routes the packet (ip_rcv_finish_core:
 * `tcp_v4_early_demux`, `udp_v4_early_demux`). Here it is looked for when a rule asks. A connection counts from its SYN
 * on: until a program has accepted it, the kernel asks the socket that listens (`skb_to_full_sk`).
 */
export function earlyDemux({ ip, packetType }: Skb, netns: NetNamespace): Socket | undefined {
  if (packetType !== PACKET_HOST) return undefined;
  const { payload, src, dst } = ip;
  if (payload instanceof TcpSegment) {
    const { srcPort, dstPort } = payload;
    return netns.sockets.tcpConnections.find({
      localAddress: dst,
      localPort: dstPort,
      remoteAddress: src,
      remotePort: srcPort,
    });
  }
  if (!(payload instanceof UdpDatagram)) return undefined;
  return netns.sockets.udp
    .on(payload.dstPort)
    ?.find(
      (s) =>
        s.remotePort === payload.srcPort &&
        s.remoteAddress === src &&
        (s.localAddress ?? dst) === dst,
    );
}
