import type { TcContext } from "@cnilab/linux";

// Words that programs leave each other in `cb`, some under several names (bpf/lib/common.h CB_*).
export const CB_SRC_LABEL = 0;
export const CB_PROXY_MAGIC = 0;
export const CB_DST_ENDPOINT_ID = 0;
export const CB_DELIVERY_REDIRECT = 1;
export const CB_IPCACHE_SRC_LABEL = 1;
export const CB_CLUSTER_ID_EGRESS = 1;
export const CB_TRACED = 1;
export const CB_CLUSTER_ID_INGRESS = 2;
export const CB_NAT_FLAGS = 2;
export const CB_FROM_HOST = 3;
export const CB_CT_STATE = 4;
export const CB_FROM_TUNNEL = 4;

/** In {@link CB_FROM_HOST}: it comes from a proxy that balances load. */
export const FROM_HOST_L7_LB = 0xfacade42;

// Bits of `tc_index`.
export const TC_INDEX_F_FROM_INGRESS_PROXY = 1;
export const TC_INDEX_F_FROM_EGRESS_PROXY = 2;
export const TC_INDEX_F_SKIP_NODEPORT = 4;
export const TC_INDEX_F_SKIP_HOST_FIREWALL = 16;

/** `ctx_load_and_clear_meta` */
export function loadAndClearMeta(ctx: TcContext, index: 0 | 1 | 2 | 3 | 4): number {
  const { cb } = ctx;
  const value = cb[index];
  cb[index] = 0;
  return value;
}

/** `bpf_clear_meta` */
export function clearMeta(ctx: TcContext): void {
  ctx.cb.fill(0);
  ctx.tcClassId = 0;
}

/** `ctx_skip_nodeport`: whether services have been looked at before; asked once. */
export function skipNodePort(ctx: TcContext): boolean {
  return takeTcIndex(ctx, TC_INDEX_F_SKIP_NODEPORT);
}

/** `ctx_skip_host_fw` */
export function skipHostFirewall(ctx: TcContext): boolean {
  return takeTcIndex(ctx, TC_INDEX_F_SKIP_HOST_FIREWALL);
}

function takeTcIndex(ctx: TcContext, flag: number): boolean {
  const { tcIndex } = ctx;
  ctx.tcIndex = tcIndex & ~flag;
  return (tcIndex & flag) !== 0;
}

/** `tc_index_from_ingress_proxy` */
export function fromIngressProxy(ctx: TcContext): boolean {
  return (ctx.tcIndex & TC_INDEX_F_FROM_INGRESS_PROXY) !== 0;
}

/** `tc_index_from_egress_proxy` */
export function fromEgressProxy(ctx: TcContext): boolean {
  return (ctx.tcIndex & TC_INDEX_F_FROM_EGRESS_PROXY) !== 0;
}
