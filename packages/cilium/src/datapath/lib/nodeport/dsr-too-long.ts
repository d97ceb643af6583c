import type { TcContext } from "@cnilab/linux";
import {
  ETH_P_IP,
  ETH_P_IPV6,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMPV6_PKT_TOOBIG,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IpPacket,
  QuotedPacket,
  TCP_SYN,
  TcpSegment,
} from "@cnilab/net";
import { METRIC_EGRESS } from "../../maps/metrics-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { sendDropNotify } from "../drop.ts";
import { DROP_FRAG_NEEDED } from "../drop-reason.ts";
import { l4Of } from "../ipfrag.ts";
import { rewriteDestination } from "../lb/translate.ts";
import { updateMetrics } from "../metrics.ts";
import type { DsrService } from "./dsr-option.ts";

/** Bytes of the outer headers but for IP's: UDP, Geneve, Ethernet. */
const GENEVE_HEADERS = 8 + 8 + 14;
/** Of `struct geneve_dsr_opt4`, `geneve_dsr_opt6`. */
const GENEVE_OPTION = { 4: 12, 6: 24 } as const;
/** Of `struct dsr_opt_v4`, `dsr_opt_v6`. */
const IP_OPTION = { 4: 8, 6: 24 } as const;
const IP_HEADER = { 4: 20, 6: 40 } as const;
/** Bytes behind the IP header that an error quotes. */
const QUOTED = { 4: 8, 6: 64 } as const;
const IPDEFTTL = 64;

/** Later packets of a TCP connection need not say the service again. `undefined` where the header is not there. */
export function saysService({ ip }: TcContext): boolean | undefined {
  if (ip.protocol !== IPPROTO_TCP) return true;
  const l4 = l4Of(ip);
  return l4 instanceof TcpSegment ? (l4.flags & TCP_SYN) !== 0 : undefined;
}

/** Bytes that a packet gets on its way to another node's backend. */
export function dsrOverhead(ctx: TcContext, { config }: BpfObject): number {
  const { version } = ctx.ip;
  switch (config.lb.dsrDispatch) {
    case "opt":
      return IP_OPTION[version];
    case "ipip":
      return IP_HEADER[version];
    case "geneve":
      return (
        IP_HEADER[version] +
        GENEVE_HEADERS +
        (saysService(ctx) === true ? GENEVE_OPTION[version] : 0)
      );
  }
}

/** `dsr_is_too_big` */
export function isTooLong(ctx: TcContext, { config }: BpfObject, overhead: number): boolean {
  return config.lb.dsrIcmpErrors && ctx.ip.length + overhead > (ctx.dev?.mtu ?? 0);
}

/**
 * Tells a client that its packet is too long (`dsr_reply_icmp4`, `dsr_reply_icmp6`): as it sent it, to the service. The answer
 * comes from the backend, whom the packet was for by then. (With `ipip` C quotes a packet to the backend, of which no client can
 * make anything: here it is the service in all modes.)
 */
export function dsrTooLong(ctx: TcContext, obj: BpfObject, service: DsrService): number {
  const overhead = dsrOverhead(ctx, obj);
  const { src, dst, version, tos, id } = ctx.ip;
  const drop = { src: 0, reason: DROP_FRAG_NEEDED, direction: METRIC_EGRESS };
  if (rewriteDestination(ctx, service.address, service.port) !== 0) {
    return sendDropNotify(ctx, obj, drop);
  }
  updateMetrics(ctx, obj, METRIC_EGRESS, -DROP_FRAG_NEEDED);
  const mtu = (ctx.dev?.mtu ?? 0) - overhead;
  const quoted = new QuotedPacket(ctx.ip.clone(), ctx.ip.headerLength + QUOTED[version]);
  const isIpv4 = version === 4;
  const error = isIpv4
    ? new IcmpMessage(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu, quoted)
    : new IcmpMessage(ICMPV6_PKT_TOOBIG, 0, mtu, quoted);
  const protocol = isIpv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  const answer = new IpPacket(dst, src, protocol, error, IPDEFTTL);
  answer.tos = tos;
  if (isIpv4) {
    answer.id = id;
    answer.dontFragment = true;
  }
  const { srcMac, dstMac } = ctx;
  ctx.replace(isIpv4 ? ETH_P_IP : ETH_P_IPV6, answer);
  ctx.dstMac = srcMac;
  ctx.srcMac = dstMac;
  return ctx.redirect(ctx.ifindex);
}
