import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { handleArp } from "../lib/arp.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import type { ExtendedError } from "../lib/drop.ts";
import { sendDropNotify } from "../lib/drop.ts";
import {
  DROP_FRAG_NOSUPPORT,
  DROP_INVALID_SIP,
  DROP_UNKNOWN_L3,
  isError,
} from "../lib/drop-reason.ts";
import { handleNeighbourDiscovery, isNeighbourDiscovery } from "../lib/icmp6.ts";
import { CB_FROM_HOST, clearMeta, FROM_HOST_L7_LB } from "../lib/meta.ts";
import { ServiceTranslation } from "../lib/service-hooks.ts";
import {
  sendTraceNotify,
  TRACE_FROM_LXC,
  TRACE_FROM_PROXY,
  TRACE_PAYLOAD_LEN,
} from "../lib/trace.ts";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";
import { ctEgress } from "./egress.ts";

/** What leaves a container (`cil_from_container`), on the way into the node's end of its pair of devices. */
export function cilFromContainer(ctx: TcContext, obj: BpfObject): number {
  clearMeta(ctx);
  const { securityLabel } = obj;
  sendTraceNotify(ctx, obj, TRACE_FROM_LXC, {
    src: securityLabel,
    dst: 0,
    monitor: TRACE_PAYLOAD_LEN,
  });
  const isArp = ctx.protocol === ETH_P_ARP && obj.config.enableIpv4;
  if (isArp) return obj.endpoint?.arpResponder ? handleArp(ctx, obj) : TC_ACT_OK;
  return handleIpFromLxc(ctx, obj);
}

/** What a balancing proxy sends for a container (`cil_lxc_policy_egress`). */
export function cilLxcPolicyEgress(ctx: TcContext, obj: BpfObject): number {
  if (!obj.config.lb.l7) return TC_ACT_OK;
  ctx.cb[CB_FROM_HOST] = FROM_HOST_L7_LB;
  sendTraceNotify(ctx, obj, TRACE_FROM_PROXY, {
    src: obj.securityLabel,
    dst: 0,
    monitor: TRACE_PAYLOAD_LEN,
  });
  return handleIpFromLxc(ctx, obj);
}

/** `tail_handle_ipv4`, `tail_handle_ipv6` of bpf_lxc.c */
function handleIpFromLxc(ctx: TcContext, obj: BpfObject): number {
  const { enableIpv4, enableIpv6 } = obj.config;
  const { protocol } = ctx;
  const extErr = { value: 0 };
  const isKnown = (protocol === ETH_P_IP && enableIpv4) || (protocol === ETH_P_IPV6 && enableIpv6);
  const ret = isKnown ? handleIp(ctx, obj, extErr) : DROP_UNKNOWN_L3;
  if (!isError(ret)) return ret;
  const src = obj.securityLabel;
  return sendDropNotify(ctx, obj, { src, reason: ret, extErr, direction: METRIC_EGRESS });
}

/** `__tail_handle_ipv4`, `__tail_handle_ipv6` */
function handleIp(ctx: TcContext, obj: BpfObject, extErr: ExtendedError): number {
  const { ip } = ctx;
  const { config, endpoint } = obj;
  if (ip.isFragment && !config.fragmentsTracking) return DROP_FRAG_NOSUPPORT;
  if (ip.version === 6 && isNeighbourDiscovery(ip)) return handleNeighbourDiscovery(ctx, obj);
  const fromL7Lb = config.lb.l7 && ctx.cb[CB_FROM_HOST] === FROM_HOST_L7_LB;
  const own = ip.version === 4 ? endpoint?.ipv4 : endpoint?.ipv6;
  if (!fromL7Lb && ip.src !== own) return DROP_INVALID_SIP;
  const translation = new ServiceTranslation();
  if (config.lb.perPacket) {
    const ret = obj.services.perPacketLb(ctx, obj, translation, extErr);
    if (ret !== TC_ACT_OK) return ret;
  }
  return ctEgress(ctx, obj, translation);
}
