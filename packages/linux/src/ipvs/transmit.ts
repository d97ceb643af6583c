import {
  formatIp,
  ICMP_TIME_EXCEEDED,
  ICMPV6_TIME_EXCEED,
  type IpPacket,
  isLoopback,
  type UdpDatagram,
} from "@cnilab/net";
import type { DropReason } from "../drop-reason.ts";
import { Dst } from "../fib/dst.ts";
import { icmpPacketTooBig, icmpSend } from "../ip/icmp-error.ts";
import { dstOutput } from "../ip/ip-output.ts";
import { unreachableRealServer } from "../ip/link-failure.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  type HookState,
  NF_ACCEPT,
  NF_INET_LOCAL_OUT,
  NF_STOLEN,
  type NfVerdict,
  nfHook,
} from "../netfilter/hooks.ts";
import type { Skb } from "../skb.ts";
import type { IpVsConn } from "./ip-vs-conn.ts";
import { settleConntrack } from "./ip-vs-conntrack.ts";
import type { IpVsDest } from "./ip-vs-dest.ts";
import { traceIpvsNat } from "./ip-vs-trace.ts";

/** How a packet gets to its real server. */
type Way = "local" | "remote" | "none";

/** What may become of a packet's route. */
interface WayOptions {
  /** The server may be this machine itself. */
  readonly local: boolean;
  /** The packet may become one for this machine where it was not before (`IP_VS_RT_MODE_RDR`). */
  readonly redirect: boolean;
  /** It is an ICMP error, which is passed on whatever its size. */
  readonly isError?: boolean;
}

/** Sends a client's packet to its server (`ip_vs_nat_xmit`, `ip_vs_dr_xmit`). */
export function transmit(
  skb: Skb,
  conn: IpVsConn,
  state: HookState,
  header: UdpDatagram,
): NfVerdict {
  const masq = conn.forwarding === "masq";
  const way = findWay(skb, conn, state, { local: true, redirect: masq });
  if (way === "none") return NF_STOLEN;
  if (masq) {
    if (way === "local" && isWorldToLoopback(skb, conn)) {
      drop(skb, state.netns, "IP_LOCALNET", "a packet of another machine to a loopback address");
      return NF_STOLEN;
    }
    header.dstPort = conn.dport;
    skb.ip.dst = conn.daddr;
    traceIpvsNat(skb, state.netns, conn, false);
  }
  return sendOrContinue(skb, conn, state, way);
}

/** Sends an ICMP error about an answer to the server that gave it (`ip_vs_icmp_xmit`). */
export function transmitError(
  skb: Skb,
  conn: IpVsConn,
  state: HookState,
  quoted: IpPacket,
  quotedHeader: UdpDatagram,
  local: boolean,
): NfVerdict {
  const masq = conn.forwarding === "masq";
  const way = findWay(skb, conn, state, { local, redirect: local && masq, isError: true });
  if (way === "none") return NF_STOLEN;
  if (masq) {
    if (way === "local" && isWorldToLoopback(skb, conn)) {
      drop(skb, state.netns, "IP_LOCALNET", "a packet of another machine to a loopback address");
      return NF_STOLEN;
    }
    skb.ip.dst = conn.daddr;
    quoted.src = conn.daddr;
    quotedHeader.srcPort = conn.dport;
    traceIpvsNat(skb, state.netns, conn, false);
  }
  return sendOrContinue(skb, conn, state, way);
}

/** Whether a packet from outside would get to a loopback address. */
function isWorldToLoopback({ iif }: Skb, conn: IpVsConn): boolean {
  return isLoopback(conn.daddr) && iif !== undefined && !iif.isLoopback;
}

/** `ip_vs_nat_send_or_cont` */
function sendOrContinue(skb: Skb, conn: IpVsConn, state: HookState, way: Way): NfVerdict {
  const { netns, family } = state;
  skb.ipvsProperty = true;
  settleConntrack(skb, conn, true);
  if (way === "local") return NF_ACCEPT;
  const dst = skb.dst as Dst;
  if (skb.trace !== undefined) traceRoute(skb, netns, dst);
  nfHook(netns, family, NF_INET_LOCAL_OUT, skb, undefined, dst.dev, dstOutput);
  return NF_STOLEN;
}

/**
 * Routes a packet to its real server and does what a router does (`__ip_vs_get_out_rt`). A packet for a
 * server on this machine keeps the route that it has.
 */
function findWay(skb: Skb, conn: IpVsConn, { netns }: HookState, options: WayOptions): Way {
  const dst = routeTo(conn.dest, conn.forwarding === "droute", netns);
  if (dst === undefined) {
    unreachableRealServer(skb, netns);
    drop(skb, netns, "IP_OUTNOROUTES", `no route to ${formatIp(conn.daddr)}`);
    return "none";
  }
  if (crossesBoundary(skb, dst, options)) {
    const detail = `${formatIp(conn.daddr)} is not to be reached from ${formatIp(skb.ip.src)}`;
    drop(skb, netns, "IP_INVALID_DEST", detail);
    return "none";
  }
  if (dst.isLocal) return "local";
  if (!countDownTtl(skb, netns)) return "none";
  const mtu = netns.pathMtu(dst, conn.daddr);
  if (options.isError !== true && isTooBig(skb, mtu)) {
    icmpPacketTooBig(skb, netns, mtu);
    drop(skb, netns, "PKT_TOO_BIG", `${skb.ip.length} bytes, MTU ${mtu}`);
    return "none";
  }
  skb.dst = dst;
  return "remote";
}

/** The route to a server, which it keeps until something changes. */
function routeTo(dest: IpVsDest, isNexthop: boolean, netns: NetNamespace): Dst | undefined {
  const { epoch } = netns.network;
  if (dest.routeEpoch === epoch) return dest.route;
  const route = routeOutput(netns, { dst: dest.address });
  let dst = typeof route === "string" ? undefined : route.dst;
  if (dst !== undefined && isNexthop && !dst.isLocal) {
    // The packet keeps its destination: the server is its next hop (FLOWI_FLAG_KNOWN_NH).
    dst = new Dst(dst.type, dst.dev, dst.gateway ?? dest.address, dst.nexthop);
  }
  dest.route = dst;
  dest.routeEpoch = epoch;
  return dst;
}

/** `crosses_local_route_boundary` */
function crossesBoundary(skb: Skb, dst: Dst, { local, redirect }: WayOptions): boolean {
  if (dst.isLocal) return !local || (!redirect && skb.dst?.isLocal !== true);
  const { src, version } = skb.ip;
  if (!isLoopback(src)) return false;
  return version === 4 || skb.dev === undefined || skb.dev.isLoopback;
}

function countDownTtl(skb: Skb, netns: NetNamespace): boolean {
  const packet = skb.ip;
  if (packet.ttl <= 1) {
    icmpSend(skb, netns, packet.version === 4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED, 0);
    drop(skb, netns, "TTL_EXCEEDED", "time to live is over");
    return false;
  }
  packet.ttl--;
  return true;
}

/** IPv4 packets that may be cut will be. */
function isTooBig({ ip: packet, fragMaxSize }: Skb, mtu: number): boolean {
  if (packet.version === 4) return packet.dontFragment && packet.length > mtu;
  return fragMaxSize > 0 ? fragMaxSize > mtu : packet.length > mtu;
}

/** Nobody who sent it is told by an errno: the packet was taken, not refused (NF_STOLEN). */
function drop(skb: Skb, netns: NetNamespace, reason: DropReason, detail: string): void {
  netns.network.drop(skb, netns, reason, skb.dev, detail);
}

function traceRoute(skb: Skb, netns: NetNamespace, dst: Dst): void {
  const { nexthop } = dst;
  const step = { kind: "route", netns, packet: skb.number, direction: "output" } as const;
  skb.trace?.steps.push({ ...step, dst: skb.ip.dst, route: nexthop?.route, nexthop });
}
