import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { type ExtendedError, sendDropNotify } from "../lib/drop.ts";
import { DROP_UNKNOWN_L3, isError } from "../lib/drop-reason.ts";
import { hostEgressLookup, hostPolicyEgress } from "../lib/host-firewall.ts";
import { fillDeliveryMeta, tailCallPolicy } from "../lib/local-delivery.ts";
import { CB_DST_ENDPOINT_ID, CB_FROM_HOST } from "../lib/meta.ts";
import { unknownTrace } from "../lib/trace.ts";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";
import { toHostPolicy } from "./to-host.ts";

/** The host's policy, asked by programs of endpoints where these have routes (`cil_host_policy`). */
export function cilHostPolicy(ctx: TcContext, obj: BpfObject): number {
  if (!obj.config.hostFirewall) return TC_ACT_OK;
  if (ctx.cb[CB_FROM_HOST] === 0) return toHostPolicy(ctx, obj, true);
  const lxcId = ctx.cb[CB_DST_ENDPOINT_ID];
  const src = RESERVED_IDENTITY.host;
  const extErr = { value: 0 };
  let ret = fromHostToLxc(ctx, obj, extErr);
  if (!isError(ret)) {
    fillDeliveryMeta(ctx, src, false, true, false);
    ret = tailCallPolicy(ctx, obj, lxcId);
    if (ret >= 0) return ret;
  }
  return sendDropNotify(ctx, obj, { src, reason: ret, extErr, direction: METRIC_EGRESS });
}

/** `from_host_to_lxc` */
function fromHostToLxc(ctx: TcContext, obj: BpfObject, extErr: ExtendedError): number {
  const { protocol } = ctx;
  if (protocol === ETH_P_ARP) return TC_ACT_OK;
  if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return DROP_UNKNOWN_L3;
  const ct = hostEgressLookup(ctx, obj, RESERVED_IDENTITY.host, RESERVED_IDENTITY.unknown);
  if (ct === undefined) return TC_ACT_OK;
  if (ct.ret < 0) return ct.ret;
  return hostPolicyEgress(ctx, obj, true, ct, unknownTrace(), extErr);
}
