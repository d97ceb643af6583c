import { BPF_F_INGRESS, PACKET_HOST, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { BpfObject } from "./bpf-object.ts";
import { isError } from "./drop-reason.ts";
import { forwardL3 } from "./l3.ts";
import { proxyPortOf, toProxyMark } from "./mark.ts";
import { CB_PROXY_MAGIC } from "./meta.ts";

// Ways to a proxy (bpf/lib/proxy.h, proxy_hairpin.h). A mark tells the node's rules and iptables, and the stack delivers.

/** From an endpoint's device, or a tunnel's: the stack goes on (`ctx_redirect_to_proxy4`, `ctx_redirect_to_proxy6`). */
export function redirectToProxy(ctx: TcContext, proxyPort: number): number {
  ctx.mark = toProxyMark(proxyPort);
  return TC_ACT_OK;
}

/** Where the mark arrives (`ctx_redirect_to_proxy_first`, in `cil_to_host`). */
export function redirectToProxyFirst(ctx: TcContext, mark: number): number {
  ctx.mark = toProxyMark(proxyPortOf(mark));
  ctx.packetType = PACKET_HOST;
  return TC_ACT_OK;
}

/** On the way out to an endpoint: back through cilium_net to the node (`ctx_redirect_to_proxy_hairpin`). */
export function redirectToProxyHairpin(ctx: TcContext, obj: BpfObject, proxyPort: number): number {
  ctx.cb[CB_PROXY_MAGIC] = toProxyMark(proxyPort);
  const ret = forwardL3(ctx, obj, obj.interfaceMac, obj.config.ciliumHostMac);
  if (isError(ret)) return ret;
  return ctx.redirect(obj.config.ciliumNetIfindex);
}

/** The host's own packet, on its way out (`ctx_redirect_to_proxy_host_egress`). */
export function redirectToProxyHostEgress(
  ctx: TcContext,
  { config }: BpfObject,
  proxyPort: number,
): number {
  ctx.mark = toProxyMark(proxyPort);
  ctx.dstMac = config.ciliumHostMac;
  return ctx.redirect(config.ciliumHostIfindex, BPF_F_INGRESS);
}
