import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import type { BpfObject } from "./bpf-object.ts";
import { tupleOf } from "./conntrack.ts";
import type { ExtendedError } from "./drop.ts";
import {
  DROP_NAT_NO_MAPPING,
  DROP_NO_SERVICE,
  DROP_UNKNOWN_L4,
  DROP_UNSUPP_SERVICE_PROTO,
} from "./drop-reason.ts";
import { lbExtractTuple } from "./lb/extract-tuple.ts";
import { lbLocal } from "./lb/local.ts";
import { isL7LoadBalancer, lbLookupService } from "./lb/lookup-service.ts";
import { noService } from "./lb/no-service.ts";
import { lbReverseNat } from "./lb/reverse-nat.ts";
import { natForward } from "./nodeport/nat-forward.ts";
import { nodePortLb } from "./nodeport/nodeport-lb.ts";
import { nodePortReverseDnat } from "./nodeport/reverse-dnat.ts";
import type { ServiceHooks, ServiceTranslation } from "./service-hooks.ts";
import { TRACE_PAYLOAD_LEN, unknownTrace } from "./trace.ts";

/** What programs that are compiled with services ask. */
export const SERVICES: ServiceHooks = {
  perPacketLb,
  revNat: (ctx, obj, tuple, { revNatIndex, loopback }) =>
    lbReverseNat(ctx, obj, revNatIndex, loopback, tuple),
  nodePortRevNat,
  nodePortLb,
  natFwd(ctx, obj, identity, revDnatOnly, trace, extErr) {
    const { enableIpv4, enableIpv6 } = obj.config;
    const isTranslated =
      (ctx.protocol === ETH_P_IP && enableIpv4) || (ctx.protocol === ETH_P_IPV6 && enableIpv6);
    if (!isTranslated) return undefined;
    return natForward(ctx, obj, identity, revDnatOnly, trace, extErr);
  },
};

/** `__per_packet_lb_svc_xlate_4`, `__per_packet_lb_svc_xlate_6` */
function perPacketLb(ctx: TcContext, obj: BpfObject, translation: ServiceTranslation): number {
  const { ip } = ctx;
  const tuple = tupleOf(ip);
  const extracted = lbExtractTuple(ctx, obj, tuple);
  if (extracted === DROP_UNSUPP_SERVICE_PROTO || extracted === DROP_UNKNOWN_L4) return TC_ACT_OK;
  if (extracted < 0) return extracted;
  const asked = { address: tuple.daddr, port: tuple.sport, protocol: tuple.nexthdr };
  const found = lbLookupService(ctx, obj, asked, obj.config.lb.nodePort);
  if (found === undefined) return TC_ACT_OK;
  if (isL7LoadBalancer(obj, found.svc)) {
    translation.proxyPort = found.svc.l7LbProxyPort ?? 0;
    return TC_ACT_OK;
  }
  const map = obj.maps.ct(tuple.daddr, tuple.nexthdr);
  const ret = lbLocal(ctx, obj, map, found, tuple, translation.state, false);
  return ret === DROP_NO_SERVICE ? noService(ctx, obj) : ret;
}

/** `tail_nodeport_rev_dnat_ipv4`, `tail_nodeport_rev_dnat_egress_ipv6` of bpf_lxc: the answer has to leave from here. */
function nodePortRevNat(ctx: TcContext, obj: BpfObject, extErr: ExtendedError): number {
  const ret = nodePortReverseDnat(ctx, obj, unknownTrace(TRACE_PAYLOAD_LEN), extErr);
  return ret === TC_ACT_OK ? DROP_NAT_NO_MAPPING : ret;
}
