import {
  BROADCAST_MAC,
  IPV4_BROADCAST,
  type IpAddress,
  type IpPacket,
  isMulticast,
  multicastMac,
  NeighbourMessage,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Dst } from "../fib/dst.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  nfHook,
} from "../netfilter/hooks.ts";
import { PACKET_MULTICAST, Skb } from "../skb.ts";
import { espOutput, xfrmRefuses, xfrmRoute } from "../xfrm/esp.ts";
import { fragmentPacket } from "./fragment.ts";
import { icmpPacketTooBig } from "./icmp-error.ts";

/** Sends a packet of this machine's own; `skb.dst` is set (`ip_local_out`). */
export function ipLocalOut(skb: Skb, netns: NetNamespace): void {
  const packet = skb.ip;
  const family = packet.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  xfrmRoute(skb, netns);
  if (xfrmRefuses(skb, netns)) return;
  if (packet.id === 0) packet.id = netns.nextPacketId();
  skb.trace?.steps.push({
    kind: "route",
    netns,
    packet: skb.number,
    direction: "output",
    dst: packet.dst,
    route: skb.dst?.nexthop?.route,
    nexthop: skb.dst?.nexthop,
  });
  nfHook(netns, family, NF_INET_LOCAL_OUT, skb, undefined, (skb.dst as Dst).dev, dstOutput);
}

/** Goes on where the route says (`dst_output`). */
export function dstOutput(skb: Skb, netns: NetNamespace): void {
  const dst = skb.dst as Dst;
  if ((dst.type === "multicast" || dst.type === "broadcast") && !dst.dev.isLoopback) {
    loopBackToGroup(skb, netns, dst);
  }
  const input = skb.dev;
  skb.dev = dst.dev;
  const family = skb.ip.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  if (xfrmRefuses(skb, netns)) return;
  const finish = skb.xfrm === undefined ? ipFinishOutput : encrypt;
  nfHook(netns, family, NF_INET_POST_ROUTING, skb, input, dst.dev, finish);
}

function encrypt(skb: Skb, netns: NetNamespace): void {
  espOutput(skb, netns, dstOutput);
}

/**
 * Multicast and broadcast also reach listeners on the sending machine (`ip_mc_output`), but for neighbour discovery, whose
 * socket asks for that not to be (`ndisc_net_init`).
 */
function loopBackToGroup(skb: Skb, netns: NetNamespace, dst: Dst): void {
  if (skb.ip.payload instanceof NeighbourMessage) return;
  if (dst.type === "multicast" && !netns.isInGroup(dst.dev, skb.ip.dst)) return;
  netns.network.recording?.unrepeatable();
  const copy = skb.clone();
  copy.packetType = PACKET_MULTICAST;
  netns.network.enqueue(netns.loopback, copy);
}

/** Cuts the packet to the route's MTU where it is longer (`__ip_finish_output`). */
function ipFinishOutput(skb: Skb, netns: NetNamespace): void {
  const packet = skb.ip;
  const dst = skb.dst as Dst;
  const mtu = outputMtu(skb, netns, dst);
  if (packet.length <= mtu && (skb.fragMaxSize === 0 || packet.length <= skb.fragMaxSize)) {
    finishOutput2(skb, netns);
    return;
  }
  // A packet that came in fragments leaves in fragments no larger than those. Where br_netfilter forgot how large they
  // were, it leaves in the same ones, unless the device's own headers do not fit before them (LL_RESERVED_SPACE).
  const asBefore = skb.iif !== undefined && dst.dev.needsHeadroom ? 0 : skb.fragmentSize;
  const limit = Math.min(mtu, skb.fragMaxSize || mtu, asBefore || mtu);
  const mayFragment =
    (!packet.dontFragment && (packet.version === 4 || skb.iif === undefined)) ||
    (skb.ignoreDf && skb.fragMaxSize <= mtu);
  if (!mayFragment) {
    icmpPacketTooBig(skb, netns, mtu);
    netns.network.drop(skb, netns, "PKT_TOO_BIG", dst.dev, `${packet.length} bytes, MTU ${mtu}`);
    return;
  }
  netns.network.recording?.unrepeatable();
  const fragments = fragmentPacket(packet, limit);
  skb.trace?.steps.push({
    kind: "fragment",
    netns,
    packet: skb.number,
    count: fragments.length,
    mtu: limit,
  });
  for (const fragment of fragments) {
    const piece = new Skb(skb.etherType, fragment, undefined);
    piece.trace = skb.trace;
    piece.number = skb.number;
    piece.dev = skb.dev;
    piece.iif = skb.iif;
    piece.dst = dst;
    piece.mark = skb.mark;
    piece.priority = skb.priority;
    piece.ct = skb.ct;
    piece.ctInfo = skb.ctInfo;
    piece.socket = skb.socket;
    piece.nfBridge = skb.nfBridge;
    // The first of what leaves as it came is the buffer that came first.
    piece.checksumValid = skb.checksumValid && limit === asBefore && piece.ip.fragmentOffset === 0;
    piece.ipvsProperty = skb.ipvsProperty;
    piece.flowHash = skb.flowHash;
    finishOutput2(piece, netns);
    if (piece.sendErrno !== undefined) {
      skb.sendErrno = piece.sendErrno;
      return; // ip_do_fragment
    }
    // What one has set off is done before the next is sent (__local_bh_enable_ip): an answer to ARP, for one.
    netns.network.run();
  }
}

/** What was learnt of paths does not count for IPv4 packets that are passed on (`ip_skb_dst_mtu`, `ip6_skb_dst_mtu`). */
function outputMtu({ iif, ip }: Skb, netns: NetNamespace, dst: Dst): number {
  const forwarded = iif !== undefined && ip.version === 4;
  return forwarded ? netns.forwardMtu(dst, ip.dst) : netns.pathMtu(dst, ip.dst);
}

/** Finds the neighbour and hands the packet to the device (`ip_finish_output2`). */
export function finishOutput2(skb: Skb, netns: NetNamespace): void {
  const dst = skb.dst as Dst;
  const dev = dst.dev;
  const packet: IpPacket = skb.ip;
  if (dev.noArp || !dev.isEthernet) {
    skb.dstMac = dev.mac;
    skb.srcMac = dev.mac;
    dev.queueTransmit(skb);
    return;
  }
  const next: IpAddress = dst.gateway ?? packet.dst;
  skb.srcMac = dev.mac;
  if (dst.type === "broadcast" || next === IPV4_BROADCAST) {
    skb.dstMac = BROADCAST_MAC;
  } else if (isMulticast(next)) {
    skb.dstMac = multicastMac(next);
  } else {
    const mac = netns.neighboursOf(dev).resolve(next, skb);
    if (mac === undefined) return; // it waits for the answer
    skb.dstMac = mac;
  }
  dev.queueTransmit(skb);
}

/** Sends an IP packet along `dst` as if it came from `dev`'s own protocol code. */
export function sendVia(skb: Skb, netns: NetNamespace, dst: Dst, dev?: NetDevice): void {
  skb.dst = dst;
  skb.dev = dev;
  ipLocalOut(skb, netns);
}
