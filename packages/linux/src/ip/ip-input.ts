import {
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_HOST_UNREACH,
  ICMP_NET_UNREACH,
  ICMP_PKT_FILTERED,
  ICMPV6_ADM_PROHIBITED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_NOROUTE,
  IPPROTO_ESP,
  IPPROTO_UDP,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Dst } from "../fib/dst.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  NF_INET_LOCAL_IN,
  NF_INET_PRE_ROUTING,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  nfHook,
} from "../netfilter/hooks.ts";
import { PACKET_OTHERHOST, type Skb } from "../skb.ts";
import { earlyDemux } from "../socket/early-demux.ts";
import { espReceive } from "../xfrm/esp.ts";
import type { DefragUser } from "./fragment.ts";
import { icmpSend } from "./icmp-error.ts";
import { ipForward } from "./ip-forward.ts";
import { deliverToProtocol } from "./protocols.ts";
import { type RouteErrno, type RouteInputResult, routeInput } from "./route-input.ts";
import { dstPortOf, srcPortOf } from "./transport.ts";

/** An IP packet arrives at a device (`ip_rcv`, `ipv6_rcv`). */
export function ipReceive(dev: NetDevice, skb: Skb): void {
  if (skb.packetType === PACKET_OTHERHOST) {
    dev.drop(skb, "OTHERHOST", "for another MAC");
    return;
  }
  const packet = skb.ip;
  if (packet.version === 6 && dev.conf6.disable_ipv6 !== 0) {
    dev.drop(skb, "IP_DISABLED", `IPv6 is disabled on ${dev.name}`);
    return;
  }
  skb.socket = undefined;
  skb.fragMaxSize = 0; // what br_netfilter knew of fragments is forgotten (the memset of ip_rcv, ip6_rcv)
  const family = packet.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  nfHook(dev.netns, family, NF_INET_PRE_ROUTING, skb, dev, undefined, ipReceiveFinish);
}

/** Behind PREROUTING: where to (`ip_rcv_finish`)? */
export function ipReceiveFinish(skb: Skb, netns: NetNamespace): void {
  const dev = skb.dev as NetDevice;
  if (skb.dst === undefined) {
    if (netns.sockets.hasTransparent && netns.sysctl.get("net/ipv4/ip_early_demux") !== 0) {
      if (skb.ip.protocol !== IPPROTO_UDP) netns.network.recording?.unrepeatable();
      skb.socket ??= earlyDemux(skb, netns);
    }
    const result = routeReceived(skb, dev);
    if (typeof result === "string") {
      refuse(skb, netns, dev, result);
      return;
    }
    skb.dst = result;
  }
  if (skb.dst.type === "unicast") ipForward(skb, netns);
  else if (skb.dst.type === "blackhole") {
    netns.network.drop(skb, netns, "NOT_SPECIFIED", dev, "its route leads out only");
  } else ipLocalDeliver(skb, netns);
}

/** Routes a packet by what its header says now. */
export function routeReceived(skb: Skb, dev: NetDevice): RouteInputResult {
  const packet = skb.ip;
  const result = routeInput(
    dev,
    packet.src,
    packet.dst,
    packet.tos,
    skb.mark,
    packet.protocol,
    srcPortOf(packet),
    dstPortOf(packet),
    packet,
  );
  if (skb.trace !== undefined) {
    const nexthop = typeof result === "string" ? undefined : result.nexthop;
    skb.trace.steps.push({
      kind: "route",
      netns: dev.netns,
      packet: skb.number,
      direction: "input",
      dst: packet.dst,
      route: nexthop?.route,
      nexthop,
    });
  }
  return result;
}

/** There is no way: tells the sender if this is a router (`ip_error`, `ip6_pkt_drop`). */
function refuse(
  skb: Skb,
  netns: NetNamespace,
  dev: NetDevice,
  result: Exclude<RouteInputResult, Dst>,
): void {
  const packet = skb.ip;
  if (!isErrno(result)) {
    netns.network.drop(
      skb,
      netns,
      result,
      dev,
      `${formatIp(packet.src)} is not accepted on ${dev.name}`,
    );
    return;
  }
  if (packet.version === 4) {
    if (dev.conf4.forwarding === 0) {
      netns.network.drop(
        skb,
        netns,
        "FORWARDING_DISABLED",
        dev,
        "not for this machine, and it is no router",
      );
      return;
    }
    if (result === "EHOSTUNREACH") icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
    if (result === "ENETUNREACH") icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_NET_UNREACH);
    if (result === "EACCES") icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED);
  } else {
    // ip6_pkt_discard, also for `unreachable` routes
    if (result === "ENETUNREACH" || result === "EHOSTUNREACH") {
      icmpSend(skb, netns, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE);
    }
    if (result === "EACCES") icmpSend(skb, netns, ICMPV6_DEST_UNREACH, ICMPV6_ADM_PROHIBITED);
  }
  const reason = {
    EINVAL: "BLACKHOLE_ROUTE",
    EACCES: "PROHIBIT_ROUTE",
    EHOSTUNREACH: "UNREACHABLE_ROUTE",
    ENETUNREACH: "IP_INNOROUTES",
  } as const;
  netns.network.drop(skb, netns, reason[result], dev, `no route to ${formatIp(packet.dst)}`);
}

/** Whether a route refuses the packet, as opposed to the packet being unfit for any. */
export function isErrno(result: string): result is RouteErrno {
  return (
    result === "ENETUNREACH" ||
    result === "EHOSTUNREACH" ||
    result === "EACCES" ||
    result === "EINVAL"
  );
}

/**
 * A packet for this machine. IPv4 puts fragments together before INPUT (`ip_local_deliver`); for IPv6 they are
 * a protocol above it, so that INPUT sees each one (`ip6_input`, `ipv6_frag_rcv`).
 */
export function ipLocalDeliver(skb: Skb, netns: NetNamespace): void {
  if (skb.ip.version === 6) {
    nfHook(netns, NFPROTO_IPV6, NF_INET_LOCAL_IN, skb, skb.dev, undefined, ipv6InputFinish);
    return;
  }
  if (skb.ip.isFragment && !reassemble(skb, netns, "local delivery")) return;
  nfHook(netns, NFPROTO_IPV4, NF_INET_LOCAL_IN, skb, skb.dev, undefined, inputFinish);
}

/** What was encrypted comes in once more as it is then. */
function inputFinish(skb: Skb, netns: NetNamespace): void {
  if (skb.ip.protocol === IPPROTO_ESP && espReceive(skb, netns, ipReceiveFinish)) return;
  deliverToProtocol(skb, netns);
}

function ipv6InputFinish(skb: Skb, netns: NetNamespace): void {
  if (skb.ip.isFragment && !reassemble(skb, netns, "local delivery")) return;
  inputFinish(skb, netns);
}

/** Adds a fragment to its queue; true when `skb` has become the whole packet. */
export function reassemble(skb: Skb, netns: NetNamespace, user: DefragUser): boolean {
  const whole = netns.reassembly.add(skb, user);
  if (whole === undefined) return false;
  skb.packet = whole.packet;
  skb.fragMaxSize = whole.maxSize;
  skb.fragmentSize = whole.maxSize;
  skb.ignoreDf = true;
  skb.trace?.steps.push({
    kind: "reassemble",
    netns,
    packet: skb.number,
    count: whole.fragments,
    mtu: whole.maxSize,
  });
  return true;
}
