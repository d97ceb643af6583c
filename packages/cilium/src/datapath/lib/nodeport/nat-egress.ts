import type { TcContext } from "@cnilab/linux";
import { TC_ACT_OK } from "@cnilab/linux";
import { TUPLE_F_OUT } from "../../maps/conntrack-map.ts";
import { METRIC_EGRESS } from "../../maps/metrics-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { CT_NEW, tupleOf } from "../conntrack.ts";
import { type ExtendedError, sendDropNotify } from "../drop.ts";
import { DROP_NAT_NO_MAPPING, isError } from "../drop-reason.ts";
import { encapAndRedirect } from "../encap.ts";
import { lookupRemoteEndpoint } from "../eps.ts";
import { maybeAddL2Header } from "../fib.ts";
import { worldOf } from "../identity.ts";
import { forwardL3 } from "../l3.ts";
import { lbExtractTuple } from "../lb/extract-tuple.ts";
import { setSnatDone } from "../mark.ts";
import { natTarget } from "../nat/nat-target.ts";
import { translateMapped } from "../nat/snat.ts";
import { TRACE_PAYLOAD_LEN } from "../trace.ts";
import { fibRedirectTo } from "./redirect.ts";

/**
 * Sends a client's packet, for a backend by now, to another node with an address of this one for its source, so that the
 * answer comes back this way (`tail_nodeport_nat_egress_ipv4`, `tail_nodeport_nat_egress_ipv6`).
 * @returns the program's verdict, drops told of
 */
export function nodePortNatEgress(ctx: TcContext, obj: BpfObject): number {
  const extErr = { value: 0 };
  const ret = natEgress(ctx, obj, extErr);
  if (!isError(ret)) return ret;
  return sendDropNotify(ctx, obj, { src: 0, reason: ret, extErr, direction: METRIC_EGRESS });
}

function natEgress(ctx: TcContext, obj: BpfObject, extErr: ExtendedError): number {
  const { ip } = ctx;
  const { config } = obj;
  const isIpv4 = ip.version === 4;
  const info = config.tunnelMode ? lookupRemoteEndpoint(ctx, obj, ip.dst) : undefined;
  const tunnelEndpoint = info?.skipTunnel ? undefined : info?.tunnelEndpoint;
  const router = isIpv4 ? config.routerIpv4 : config.routerIpv6;
  const directRouting = isIpv4 ? config.directRoutingIpv4 : config.directRoutingIpv6;
  const address = tunnelEndpoint === undefined ? directRouting : router;
  if (address === undefined) return DROP_NAT_NO_MAPPING;
  const tuple = tupleOf(ip);
  let ret = lbExtractTuple(ctx, obj, tuple);
  if (ret < 0) return ret;
  tuple.swapPorts();
  tuple.flags = TUPLE_F_OUT;
  ret = forwardL3(ctx, obj, undefined, undefined);
  if (ret !== TC_ACT_OK) return ret;
  const trace = { reason: CT_NEW as number, monitor: TRACE_PAYLOAD_LEN };
  ret = translateMapped(ctx, obj, tuple, natTarget(config, address), trace);
  if (ret !== 0) return ret;
  // Programs on its way must not do it again.
  setSnatDone(ctx);
  if (tunnelEndpoint !== undefined && info !== undefined) {
    // It is from outside: were it from a node, policies would not see that.
    const identity = worldOf(ip.src, obj);
    maybeAddL2Header(ctx);
    return encapAndRedirect(ctx, obj, tunnelEndpoint, identity, info.identity, trace);
  }
  return fibRedirectTo(ctx, obj, ip.src, ip.dst, extErr);
}
