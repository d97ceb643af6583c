import { IPPROTO_TCP, IpPacket, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TcpSegment } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { routeMeHarder } from "./route-me-harder.ts";

/** Answers a segment with a reset, as if the one that it is for had (`nf_send_reset`, `nf_send_reset6`). */
export function sendReset(skb: Skb, netns: NetNamespace): void {
  const packet = skb.ip;
  const segment = packet.payload;
  if (packet.isFragment || !(segment instanceof TcpSegment)) return;
  if ((segment.flags & TCP_RST) !== 0) return;
  const answered = (segment.flags & TCP_ACK) !== 0;
  const reset = new TcpSegment(
    segment.dstPort,
    segment.srcPort,
    answered ? TCP_RST : TCP_RST | TCP_ACK,
    answered ? segment.ack : 0,
    answered ? 0 : (segment.seq + sequenceLength(segment)) >>> 0,
  );
  reset.window = 0;
  const { version } = packet;
  const ttl = netns.defaultTtl(version);
  const answer = new IpPacket(packet.dst, packet.src, IPPROTO_TCP, reset, ttl);
  answer.dontFragment = true;
  const out = Skb.ofIp(answer, skb.trace);
  out.mark = netns.reflectsMark(version) ? skb.mark : 0;
  out.dst = skb.dst;
  if (routeMeHarder(out, netns) !== undefined) return;
  // It belongs to the connection, so that NAT is undone for it.
  netns.conntrack?.attach(out, skb);
  netns.conntrack?.setClosing(skb.ct);
  if (skb.nfBridge === undefined) netns.ipLocalOut(out);
  else sendBack(out, skb, skb.nfBridge.physin);
}

/**
 * What came in by a bridge is answered through the port that it came by, with the MACs of its frame, past hooks and NAT:
 * whose connection was led elsewhere by DNAT does not know the answer.
 */
function sendBack(out: Skb, to: Skb, port: NetDevice): void {
  out.dev = port;
  out.dstMac = to.srcMac;
  out.srcMac = to.dstMac;
  port.queueTransmit(out);
}

/** What a segment takes up of the sequence space. */
function sequenceLength({ flags, payload }: TcpSegment): number {
  return ((flags & TCP_SYN) !== 0 ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0) + payload.length;
}
