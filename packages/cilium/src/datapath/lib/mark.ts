import type { TcContext } from "@cnilab/linux";
import { ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "./bpf-object.ts";
import { TC_INDEX_F_FROM_EGRESS_PROXY, TC_INDEX_F_FROM_INGRESS_PROXY } from "./meta.ts";

// What marks of packets say (bpf/lib/common.h MARK_MAGIC_*).
export const MARK_MAGIC_HOST_MASK = 0x0f00;
export const MARK_MAGIC_KEY_MASK = 0xff00;
export const MARK_MAGIC_TO_PROXY = 0x0200;
export const MARK_MAGIC_SNAT_DONE = 0x0300;
export const MARK_MAGIC_OVERLAY = 0x0400;
export const MARK_MAGIC_EGW_DONE = 0x0500;
export const MARK_MAGIC_PROXY_TO_WORLD = 0x0800;
/** With the id of the endpoint that it comes from. */
export const MARK_MAGIC_PROXY_EGRESS_EPID = 0x0900;
export const MARK_MAGIC_PROXY_INGRESS = 0x0a00;
export const MARK_MAGIC_PROXY_EGRESS = 0x0b00;
export const MARK_MAGIC_HOST = 0x0c00;
export const MARK_MAGIC_DECRYPT = 0x0d00;
export const MARK_MAGIC_ENCRYPT = 0x0e00;
export const MARK_MAGIC_IDENTITY = 0x0f00;
/** What WireGuard's packets had before 1.18. */
export const MARK_MAGIC_WG_ENCRYPTED = 0x1e00;

/** `set_identity_mark`: 16 bits of the identity above, and its cluster below. */
export function setIdentityMark(ctx: TcContext, identity: NumericIdentity, magic: number): void {
  ctx.mark = identityMark(identity, magic);
}

export function identityMark(identity: NumericIdentity, magic: number): number {
  const mark =
    (magic & MARK_MAGIC_KEY_MASK) | ((identity & 0xffff) << 16) | ((identity >>> 16) & 0xff);
  return mark >>> 0;
}

/** `get_identity` */
export function getIdentity(mark: number): NumericIdentity {
  return ((mark & 0xff) << 16) | (mark >>> 16);
}

/** `get_epid` */
export function getEndpointId(mark: number): number {
  return mark >>> 16;
}

/** Redirects to a proxy; its port stands there as on the wire (`ctx_redirect_to_proxy`, pkg/datapath/iptables). */
export function toProxyMark(port: number): number {
  return (MARK_MAGIC_TO_PROXY | (swap16(port) << 16)) >>> 0;
}

/** The port of {@link toProxyMark}. */
export function proxyPortOf(mark: number): number {
  return swap16(mark >>> 16);
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

/** `ctx_snat_done_set` */
export function setSnatDone(ctx: TcContext): void {
  ctx.mark = (ctx.mark & ~MARK_MAGIC_HOST_MASK) | MARK_MAGIC_SNAT_DONE;
}

/** `ctx_snat_done` */
export function isSnatDone(ctx: TcContext): boolean {
  return (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_SNAT_DONE;
}

/** `ctx_is_overlay` */
export function isOverlay(ctx: TcContext, { haveEncap }: BpfObject): boolean {
  return haveEncap && (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_OVERLAY;
}

/** `ctx_mark_is_wireguard` */
export function isWireguardMark(ctx: TcContext, { config }: BpfObject): boolean {
  if (config.wireguardIfindex === 0) return false;
  return (
    (ctx.mark & MARK_MAGIC_WG_ENCRYPTED) === MARK_MAGIC_WG_ENCRYPTED ||
    (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_ENCRYPT
  );
}

/** Who sent it, as its mark says, which is taken off (`inherit_identity_from_host`). */
export function inheritIdentityFromHost(
  ctx: TcContext,
  obj: BpfObject,
): { readonly magic: number; readonly identity: NumericIdentity } {
  const { mark } = ctx;
  const magic = mark & MARK_MAGIC_HOST_MASK;
  let identity: NumericIdentity;
  switch (magic) {
    case MARK_MAGIC_PROXY_INGRESS:
      identity = getIdentity(mark);
      ctx.tcIndex |= TC_INDEX_F_FROM_INGRESS_PROXY;
      break;
    case MARK_MAGIC_PROXY_EGRESS:
      identity = getIdentity(mark);
      ctx.tcIndex |= TC_INDEX_F_FROM_EGRESS_PROXY;
      break;
    case MARK_MAGIC_IDENTITY:
      identity = getIdentity(mark);
      break;
    case MARK_MAGIC_HOST:
      identity = RESERVED_IDENTITY.host;
      break;
    default:
      identity = worldOfProtocol(ctx, obj);
  }
  // Or rules of routing would match it again.
  ctx.mark = 0;
  return { magic, identity };
}

function worldOfProtocol({ protocol }: TcContext, obj: BpfObject): NumericIdentity {
  if (protocol === ETH_P_IP) return obj.worldIpv4;
  if (protocol === ETH_P_IPV6) return obj.worldIpv6;
  return RESERVED_IDENTITY.world;
}
