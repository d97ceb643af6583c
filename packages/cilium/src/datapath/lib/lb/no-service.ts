import type { TcContext } from "@cnilab/linux";
import {
  ETH_P_IP,
  ETH_P_IPV6,
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  ICMPV6_DEST_UNREACH,
  ICMPV6_PORT_UNREACH,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IpPacket,
  QuotedPacket,
} from "@cnilab/net";
import type { NodeMaps } from "../../node-maps.ts";
import type { BpfObject } from "../bpf-object.ts";
import { DROP_NO_SERVICE, DROP_RATE_LIMITED } from "../drop-reason.ts";

/** `ICMP_PACKET_MAX_SAMPLE_SIZE`, `ICMPV6_PACKET_MAX_SAMPLE_SIZE`: how much of the packet the answer has. */
const ICMP_SAMPLE = 64;
const ICMPV6_SAMPLE = 1280 - 40 - 8;
const IPDEFTTL = 64;

// ICMPv6 answers of a device: at once, and each second (bpf/lib/ratelimit.h).
const BUCKET_SIZE = 1000;
const TOKENS_PER_SECOND = 100;

/**
 * What becomes of a packet for a service without backends: its sender hears that nobody is at the port
 * (`tail_no_service_ipv4`, `tail_no_service_ipv6`), or it is dropped, as `service-no-backend-response` says.
 * @returns a verdict, or a reason to drop
 */
export function noService(ctx: TcContext, obj: BpfObject): number {
  if (obj.config.lb.noBackendResponse === "drop") return DROP_NO_SERVICE;
  const { ip } = ctx;
  const isIpv4 = ip.version === 4;
  if (!isIpv4 && !takeToken(ctx, obj.maps)) return DROP_RATE_LIMITED;
  const quoted = new QuotedPacket(ip.clone(), isIpv4 ? ICMP_SAMPLE : ICMPV6_SAMPLE);
  const error = isIpv4
    ? new IcmpMessage(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, quoted)
    : new IcmpMessage(ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0, quoted);
  const protocol = isIpv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  const answer = new IpPacket(ip.dst, ip.src, protocol, error, IPDEFTTL);
  if (isIpv4) answer.tos = ip.tos;
  const { srcMac, dstMac } = ctx;
  ctx.replace(isIpv4 ? ETH_P_IP : ETH_P_IPV6, answer);
  ctx.dstMac = srcMac;
  ctx.srcMac = dstMac;
  return ctx.redirect(ctx.ifindex);
}

interface Bucket {
  tokens: number;
  /** Virtual milliseconds of the last whole second that was paid in. */
  lastTopUp: number;
}

const buckets = new WeakMap<NodeMaps, Map<number, Bucket>>();

/** `ratelimit_check_and_take` */
function takeToken(ctx: TcContext, maps: NodeMaps): boolean {
  ctx.unrepeatable();
  let own = buckets.get(maps);
  if (own === undefined) {
    own = new Map();
    buckets.set(maps, own);
  }
  let bucket = own.get(ctx.ifindex);
  if (bucket === undefined) {
    bucket = { tokens: BUCKET_SIZE, lastTopUp: ctx.now };
    own.set(ctx.ifindex, bucket);
  }
  const seconds = Math.floor((ctx.now - bucket.lastTopUp) / 1000);
  bucket.lastTopUp += seconds * 1000;
  bucket.tokens = Math.min(BUCKET_SIZE, bucket.tokens + seconds * TOKENS_PER_SECOND);
  if (bucket.tokens === 0) return false;
  bucket.tokens--;
  return true;
}
