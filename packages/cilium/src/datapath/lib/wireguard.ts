import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import {
  ETH_P_IP,
  ETH_P_IPV6,
  IPPROTO_ICMPV6,
  IPPROTO_UDP,
  type IpPacket,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  UdpDatagram,
} from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "./bpf-object.ts";
import { icmpTypeOf } from "./conntrack.ts";
import { lookupRemoteEndpoint } from "./eps.ts";
import { isCluster, isRemoteNode } from "./identity.ts";
import { l4Of } from "./ipfrag.ts";
import {
  isOverlay,
  MARK_MAGIC_HOST_MASK,
  MARK_MAGIC_IDENTITY,
  MARK_MAGIC_PROXY_EGRESS,
  MARK_MAGIC_PROXY_INGRESS,
  setIdentityMark,
} from "./mark.ts";
import { fromEgressProxy, fromIngressProxy } from "./meta.ts";

// What WireGuard is to hide (bpf/lib/wireguard.h).

/** Whether another node's WireGuard has sent it (`ctx_is_wireguard`). */
export function isWireguardPacket(
  ip: IpPacket,
  obj: BpfObject,
  identity: NumericIdentity,
): boolean {
  const { wireguardIfindex, wireguardPort } = obj.config;
  if (wireguardIfindex === 0 || ip.protocol !== IPPROTO_UDP) return false;
  const udp = l4Of(ip);
  if (!(udp instanceof UdpDatagram)) return false;
  return udp.dstPort === wireguardPort && udp.srcPort === wireguardPort && isCluster(identity, obj);
}

/** Sends a packet through WireGuard's device if it is to be hidden (`wg_maybe_redirect_to_encrypt`). */
export function maybeRedirectToEncrypt(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
): number {
  const { config } = obj;
  const { protocol } = ctx;
  const isIpv4 = protocol === ETH_P_IP && config.enableIpv4;
  if (!isIpv4 && !(protocol === ETH_P_IPV6 && config.enableIpv6)) return TC_ACT_OK;
  const { ip } = ctx;
  if (isIpv4 && isOverlay(ctx, obj)) return ctx.redirect(config.wireguardIfindex);
  if (
    config.nodeEncryption &&
    ip.protocol === IPPROTO_ICMPV6 &&
    icmpTypeOf(ip) === NDISC_NEIGHBOUR_ADVERTISEMENT
  ) {
    return TC_ACT_OK;
  }
  const dst = lookupRemoteEndpoint(ctx, obj, ip.dst);
  let src = identity;
  if (src === RESERVED_IDENTITY.unknown) {
    const info = lookupRemoteEndpoint(ctx, obj, ip.src);
    if (info === undefined) return TC_ACT_OK;
    src = info.identity;
  }
  if (!isFromProxy(ctx, obj)) {
    if (!config.nodeEncryption && src === RESERVED_IDENTITY.host) return TC_ACT_OK;
    // What comes from outside, by way of another node or of this one.
    if (!isCluster(src, obj) || isRemoteNode(src)) return TC_ACT_OK;
  }
  if (dst === undefined || dst.key === 0) return TC_ACT_OK;
  setIdentityMark(ctx, src, MARK_MAGIC_IDENTITY);
  return ctx.redirect(config.wireguardIfindex);
}

/** A proxy of this node sends in a pod's place: that is hidden, though the host's own is not. */
function isFromProxy(ctx: TcContext, { config }: BpfObject): boolean {
  if (config.nodeEncryption) return false;
  const magic = ctx.mark & MARK_MAGIC_HOST_MASK;
  if (magic === MARK_MAGIC_PROXY_INGRESS || magic === MARK_MAGIC_PROXY_EGRESS) return true;
  return config.tunnelMode && (fromIngressProxy(ctx) || fromEgressProxy(ctx));
}

/** Whether a packet may leave as it is (`strict_allow`). */
export function isPlainAllowed(ctx: TcContext, obj: BpfObject): boolean {
  const { config } = obj;
  const strict = config.encryptionStrict;
  if (strict === undefined || ctx.protocol !== ETH_P_IP) return true;
  const { src, dst } = ctx.ip;
  if (src === config.routerIpv4 || src === config.nodeIpv4[0]) return true;
  const { cidr } = strict;
  const [node] = config.nodeIpv4;
  if (config.tunnelMode || (node !== undefined && cidr.contains(node))) {
    const info = lookupRemoteEndpoint(ctx, obj, dst);
    if (info !== undefined && isRemoteNode(info.identity)) return true;
  }
  return !(cidr.contains(dst) && cidr.contains(src));
}
