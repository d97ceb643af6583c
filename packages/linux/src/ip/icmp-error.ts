import {
  FragmentPayload,
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMPV6_PKT_TOOBIG,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPV4_BROADCAST,
  type IpAddress,
  IpPacket,
  isIcmpError,
  isLinkLocal,
  isMulticast,
  isUnspecified,
  QuotedPacket,
} from "@cnilab/net";
import { RT_SCOPE_LINK } from "../fib/route.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { directionOf, IPS_NAT_MASK } from "../netfilter/conntrack-entry.ts";
import { PACKET_HOST, Skb } from "../skb.ts";
import { sendFromIcmpSocket } from "./icmp-socket.ts";
import { routeOutput } from "./route-output.ts";
import { selectAddress, selectIpv6Address } from "./source-address.ts";

/** Bytes of the whole error message, IP header included (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4). */
const MAX_ERROR_LENGTH = { 4: 576, 6: 1280 } as const;

/**
 * Tells the sender of a packet what went wrong (`icmp_send`, `icmpv6_send`). Says nothing about ICMP
 * errors, broadcasts, multicasts and IPv4's later fragments (RFC 1122 section 3.2.2). Rates are not limited.
 */
export function icmpSend(
  skb: Skb,
  netns: NetNamespace,
  type: number,
  code: number,
  rest = 0,
): void {
  const about = skb.ip;
  const version = about.version;
  if (netns.kernel.icmpSockets[version]) return;
  if (skb.packetType !== PACKET_HOST && !(version === 6 && type === ICMPV6_PKT_TOOBIG)) return;
  if (version === 4 && about.fragmentOffset !== 0) return;
  if (isMulticast(about.dst) && !(version === 6 && type === ICMPV6_PKT_TOOBIG)) return;
  if (about.dst === IPV4_BROADCAST || isMulticast(about.src) || isUnspecified(about.src)) return;
  if (version === 4 && netns.fib4.addressType(about.dst) === "broadcast") return;
  const protocol = version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  if (about.protocol === protocol && about.fragmentOffset === 0) {
    const message = innerMessage(about);
    if (message instanceof IcmpMessage && isIcmpError(version, message.type)) return;
  }
  const mark = netns.reflectsMark(version) ? skb.mark : 0;
  const src = errorSource(skb, netns);
  // A link-local sender is one on the link that the packet came by.
  const oif = version === 6 && isLinkLocal(about.src) ? skb.iif : undefined;
  // Among nexthops the packet chooses that it is about (icmp_route_lookup, mp_hash of icmp6_send).
  const route = routeOutput(netns, { dst: about.src, src, oif, mark, protocol, about });
  if (typeof route === "string") return;
  const quoted = new QuotedPacket(
    about.clone(),
    MAX_ERROR_LENGTH[version] - (version === 4 ? 28 : 48),
  );
  const message = new IcmpMessage(type, code, rest, quoted);
  const packet = new IpPacket(route.src, about.src, protocol, message, netns.defaultTtl(version));
  packet.tos = version === 4 ? (about.tos & 0x1e) | 0xc0 : 0;
  const error = Skb.ofIp(packet, skb.trace);
  error.mark = mark;
  error.dst = route.dst;
  // It belongs to the connection of the packet, also where that will never be confirmed
  // (`icmp_glue_bits`, `icmpv6_getfrag`).
  netns.conntrack?.attach(error, skb);
  sendFromIcmpSocket(error, netns);
}

/**
 * As {@link icmpSend}, by a device that packets reach behind NAT: who sent the packet hears of it, as the packet had it before its
 * source was rewritten (`icmp_ndo_send`, `icmpv6_ndo_send`).
 */
export function icmpNdoSend(
  skb: Skb,
  netns: NetNamespace,
  type: number,
  code: number,
  rest = 0,
): void {
  const { ct, ctInfo } = skb;
  if (ct === undefined || (ct.status & IPS_NAT_MASK) === 0) {
    icmpSend(skb, netns, type, code, rest);
    return;
  }
  const asSent = skb.clone();
  asSent.ip.src = ct.tuple(directionOf(ctInfo)).src;
  icmpSend(asSent, netns, type, code, rest);
}

/**
 * Who answers: the address that the packet was sent to if it is this machine's. Else the route chooses,
 * but for IPv6 routes without a preferred source and with `icmp_errors_use_inbound_ifaddr`: then it is an
 * address of the device that the packet came by (`icmp6_send`, `__icmp_send`).
 */
function errorSource(skb: Skb, netns: NetNamespace): IpAddress | undefined {
  const about = skb.ip;
  if (netns.isLocalAddress(about.dst)) return about.dst;
  if (skb.iif === undefined) return undefined;
  if (typeof about.src === "number") {
    if (netns.sysctl.get("net/ipv4/icmp_errors_use_inbound_ifaddr") === 0) return undefined;
    return selectAddress(skb.iif, about.src, RT_SCOPE_LINK);
  }
  // Neither the mark nor the device is known yet where this is asked (icmpv6_rt_has_prefsrc).
  const route = routeOutput(netns, { dst: about.src, protocol: IPPROTO_ICMPV6 });
  if (typeof route !== "string" && route.dst.nexthop?.route.prefsrc !== undefined) return route.src;
  return selectIpv6Address(netns, skb.iif, about.src);
}

/** The message of an ICMP packet, also where it is the first of several fragments. */
function innerMessage(packet: IpPacket): unknown {
  return packet.payload instanceof FragmentPayload ? packet.payload.whole.payload : packet.payload;
}

/** The next link takes no more than `mtu` bytes, and the packet must not be cut. */
export function icmpPacketTooBig(skb: Skb, netns: NetNamespace, mtu: number): void {
  if (skb.ip.version === 4) icmpSend(skb, netns, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
  else icmpSend(skb, netns, ICMPV6_PKT_TOOBIG, 0, mtu);
}

/** For messages: `10.0.0.1 > 10.0.0.2`. */
export function describeAddresses(packet: IpPacket): string {
  return `${formatIp(packet.src)} > ${formatIp(packet.dst)}`;
}
