import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import {
  ETH_P_IPV6,
  ICMPV6_DEST_UNREACH,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PARAMPROB,
  ICMPV6_TIME_EXCEED,
  IcmpMessage,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  type Ipv6Address,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
  QuotedPacket,
} from "@cnilab/net";
import { ENDPOINT_F_HOST } from "../maps/endpoint-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import { icmpTypeOf } from "./conntrack.ts";
import { DROP_FORBIDDEN_ICMP6, DROP_UNKNOWN_L4, DROP_UNKNOWN_TARGET } from "./drop-reason.ts";
import { lookupEndpoint } from "./eps.ts";

/** What the host's policy does not look at. */
export const SKIP_HOST_FIREWALL = -2;

/** Answers with another packet on the way back (`icmp6_send_reply`). */
function sendReply(ctx: TcContext, obj: BpfObject, reply: IpPacket): number {
  const { srcMac } = ctx;
  ctx.replace(ETH_P_IPV6, reply);
  ctx.dstMac = srcMac;
  ctx.srcMac = obj.interfaceMac;
  return ctx.redirect(ctx.ifindex);
}

/** Says that the hop limit was too small (`icmp6_send_time_exceeded`). */
export function sendTimeExceeded(ctx: TcContext, obj: BpfObject): number {
  const { ip } = ctx;
  const { routerIpv6 } = obj.config;
  const bytes = QUOTED_L4_BYTES.get(ip.protocol);
  if (bytes === undefined || (ip.protocol === IPPROTO_SCTP && !obj.config.sctp)) {
    return DROP_UNKNOWN_L4;
  }
  const quoted = new QuotedPacket(ip.clone(), 40 + bytes);
  const error = new IcmpMessage(ICMPV6_TIME_EXCEED, 0, 0, quoted);
  const src = routerIpv6 ?? ip.dst;
  // The packet's own header is used again, hop limit and all.
  return sendReply(ctx, obj, new IpPacket(src, ip.src, IPPROTO_ICMPV6, error, ip.ttl));
}

/** How much of each transport's header is quoted. */
const QUOTED_L4_BYTES: ReadonlyMap<number, number> = new Map([
  [IPPROTO_ICMPV6, 8],
  [IPPROTO_UDP, 8],
  [IPPROTO_SCTP, 8],
  [IPPROTO_TCP, 20],
]);

/** `is_icmp6_ndp` */
export function isNeighbourDiscovery(ip: IpPacket): boolean {
  if (ip.protocol !== IPPROTO_ICMPV6) return false;
  const type = icmpTypeOf(ip);
  return type === NDISC_NEIGHBOUR_SOLICITATION || type === NDISC_NEIGHBOUR_ADVERTISEMENT;
}

/** What an endpoint says of neighbours (`icmp6_ndp_handle`): solicitations are answered, advertisements go on. */
export function handleNeighbourDiscovery(ctx: TcContext, obj: BpfObject): number {
  return icmpTypeOf(ctx.ip) === NDISC_NEIGHBOUR_SOLICITATION
    ? handleSolicitation(ctx, obj)
    : TC_ACT_OK;
}

/** `__icmp6_handle_ns` */
function handleSolicitation(ctx: TcContext, obj: BpfObject): number {
  const { payload } = ctx.ip;
  if (!(payload instanceof NeighbourMessage)) return TC_ACT_OK;
  const { target } = payload;
  if (target === obj.config.routerIpv6) return sendAdvertisement(ctx, obj, target, true);
  const endpoint = lookupEndpoint(ctx, obj, target);
  if (endpoint !== undefined) {
    // The node's own address: its stack answers, and so learns who asks.
    if ((endpoint.flags & ENDPOINT_F_HOST) !== 0) return TC_ACT_OK;
    return sendAdvertisement(ctx, obj, target, false);
  }
  // ACTION_UNKNOWN_ICMP6_NS
  return obj.source === "host" ? TC_ACT_OK : DROP_UNKNOWN_TARGET;
}

/** `icmp6_send_ndisc_adv` */
function sendAdvertisement(
  ctx: TcContext,
  obj: BpfObject,
  target: Ipv6Address,
  toRouter: boolean,
): number {
  const { ip } = ctx;
  const answer = new NeighbourMessage(NDISC_NEIGHBOUR_ADVERTISEMENT, target, obj.interfaceMac);
  answer.solicited = true;
  answer.router = toRouter;
  answer.override = !toRouter;
  return sendReply(ctx, obj, new IpPacket(target, ip.src, IPPROTO_ICMPV6, answer, ip.ttl));
}

/** ICMPv6 to and from the host (`icmp6_host_handle`). @param answers whether solicitations are answered here */
export function handleHostIcmp6(ctx: TcContext, obj: BpfObject, answers: boolean): number {
  const type = icmpTypeOf(ctx.ip) ?? 0;
  if (type === NDISC_NEIGHBOUR_SOLICITATION && answers) return handleSolicitation(ctx, obj);
  if (!obj.config.hostFirewall) return TC_ACT_OK;
  if (
    type === NDISC_NEIGHBOUR_SOLICITATION ||
    type === ICMPV6_ECHO_REQUEST ||
    type === ICMPV6_ECHO_REPLY
  ) {
    return TC_ACT_OK;
  }
  // RFC 4890: what the network needs passes.
  const passes = ALLOWED_TYPES.some(([first, last]) => type >= first && type <= last);
  return passes ? SKIP_HOST_FIREWALL : DROP_FORBIDDEN_ICMP6;
}

const ALLOWED_TYPES: readonly (readonly [first: number, last: number])[] = [
  [ICMPV6_DEST_UNREACH, ICMPV6_PARAMPROB],
  [130, NDISC_NEIGHBOUR_ADVERTISEMENT], // multicast listeners, routers, neighbours
  [141, 143], // inverse neighbour discovery, MLDv2 reports
  [148, 149], // secure neighbour discovery's paths
  [151, 153], // multicast routers
];
