import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { sendDropNotify } from "../lib/drop.ts";
import { DROP_UNKNOWN_L3, isError } from "../lib/drop-reason.ts";
import { hostIngressLookup, hostPolicyIngress } from "../lib/host-firewall.ts";
import { MARK_MAGIC_HOST_MASK, MARK_MAGIC_TO_PROXY } from "../lib/mark.ts";
import { CB_PROXY_MAGIC } from "../lib/meta.ts";
import { redirectToProxyFirst } from "../lib/proxy.ts";
import { sendTraceNotify, TRACE_TO_STACK, unknownTrace } from "../lib/trace.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";

/** What programs send to the host's stack (`cil_to_host`), on the ways into cilium_host and cilium_net. */
export function cilToHost(ctx: TcContext, obj: BpfObject): number {
  const isMarked = (ctx.mark & MARK_MAGIC_HOST_MASK) === MARK_MAGIC_TO_PROXY;
  const magic = isMarked ? ctx.mark : ctx.cb[CB_PROXY_MAGIC];
  if ((magic & 0xffff) === MARK_MAGIC_TO_PROXY) {
    ctx.cb[CB_PROXY_MAGIC] = 0;
    return redirectToProxyFirst(ctx, magic);
  }
  if (obj.config.hostFirewall) return toHostPolicy(ctx, obj, false);
  tell(ctx, obj, RESERVED_IDENTITY.unknown, unknownTrace());
  return TC_ACT_OK;
}

/** `tail_ipv4_host_policy_ingress`, `to_host_from_lxc`. @param traced who sent it here has told of it */
export function toHostPolicy(ctx: TcContext, obj: BpfObject, traced: boolean): number {
  const { config } = obj;
  const { protocol } = ctx;
  const extErr = { value: 0 };
  const trace = unknownTrace();
  let src: NumericIdentity = RESERVED_IDENTITY.unknown;
  let ret: number = TC_ACT_OK;
  if (
    (protocol === ETH_P_IP && config.enableIpv4) ||
    (protocol === ETH_P_IPV6 && config.enableIpv6)
  ) {
    const ct = hostIngressLookup(ctx, obj);
    if (ct !== undefined && ct.ret < 0) ret = ct.ret;
    else if (ct !== undefined) {
      ({ ret, src } = hostPolicyIngress(ctx, obj, ct, src, trace, extErr));
    }
  } else if (protocol !== ETH_P_ARP) {
    ret = DROP_UNKNOWN_L3;
  }
  if (isError(ret)) {
    return sendDropNotify(ctx, obj, { src, reason: ret, extErr, direction: METRIC_INGRESS });
  }
  if (!traced) tell(ctx, obj, src, trace);
  return ret;
}

function tell(
  ctx: TcContext,
  obj: BpfObject,
  src: NumericIdentity,
  { reason, monitor }: ReturnType<typeof unknownTrace>,
): void {
  const ifindex = obj.config.ciliumHostIfindex;
  sendTraceNotify(ctx, obj, TRACE_TO_STACK, { src, dst: 0, ifindex, reason, monitor });
}
