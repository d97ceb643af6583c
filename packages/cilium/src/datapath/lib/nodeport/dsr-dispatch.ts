import type { TcContext } from "@cnilab/linux";
import {
  ETH_P_IP,
  ETH_P_IPV6,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  type IpAddress,
  IpPacket,
} from "@cnilab/net";
import { METRIC_EGRESS } from "../../maps/metrics-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { type ExtendedError, sendDropNotify } from "../drop.ts";
import {
  DROP_CT_INVALID_HDR,
  DROP_FRAG_NEEDED,
  DROP_NO_TUNNEL_ENDPOINT,
  isError,
} from "../drop-reason.ts";
import { encapAndRedirect } from "../encap.ts";
import { lookupRemoteEndpoint } from "../eps.ts";
import { fibRedirect, maybeAddL2Header } from "../fib.ts";
import { worldOf } from "../identity.ts";
import { TRACE_PAYLOAD_LEN } from "../trace.ts";
import { type DsrService, dsrGeneveOption, dsrIpOption } from "./dsr-option.ts";
import { dsrOverhead, dsrTooLong, isTooLong, saysService } from "./dsr-too-long.ts";

const IPDEFTTL = 64;
/** Most that an IPv4 header may have (`MAX_IPOPTLEN` and the header itself). */
const MAX_IPV4_HEADER = 60;

/**
 * Sends a client's packet to a backend on another node, which answers by itself (`tail_nodeport_ipv4_dsr`,
 * `tail_nodeport_ipv6_dsr`). With `opt` and `geneve` the packet is translated, and a SYN (or each packet of what has none) says
 * which service was asked for; with `ipip` it goes as it came, in another one.
 * @returns the program's verdict, drops told of
 */
export function dsrDispatch(
  ctx: TcContext,
  obj: BpfObject,
  service: DsrService,
  backend: IpAddress,
): number {
  const extErr = { value: 0 };
  const ret = dispatch(ctx, obj, service, backend, extErr);
  if (ret === DROP_FRAG_NEEDED) return dsrTooLong(ctx, obj, service);
  if (!isError(ret)) return ret;
  return sendDropNotify(ctx, obj, { src: 0, reason: ret, extErr, direction: METRIC_EGRESS });
}

function dispatch(
  ctx: TcContext,
  obj: BpfObject,
  service: DsrService,
  backend: IpAddress,
  extErr: ExtendedError,
): number {
  switch (obj.config.lb.dsrDispatch) {
    case "geneve":
      return viaGeneve(ctx, obj, service);
    case "ipip":
      if (isTooLong(ctx, obj, dsrOverhead(ctx, obj))) return DROP_FRAG_NEEDED;
      putInto(ctx, obj, backend);
      break;
    case "opt": {
      const ret = addOption(ctx, obj, service);
      if (ret !== 0) return ret;
    }
  }
  return fibRedirect(ctx, obj, true, extErr).ret;
}

/** `dsr_set_opt4`, `dsr_set_ext6` */
function addOption(ctx: TcContext, obj: BpfObject, service: DsrService): number {
  const says = saysService(ctx);
  if (says === undefined) return DROP_CT_INVALID_HDR;
  if (!says) return 0;
  const { ip } = ctx;
  const option = dsrIpOption(service);
  if (ip.version === 4 && ip.headerLength + 2 + option.data.length > MAX_IPV4_HEADER) {
    return DROP_CT_INVALID_HDR;
  }
  if (isTooLong(ctx, obj, dsrOverhead(ctx, obj))) return DROP_FRAG_NEEDED;
  // It stands first: there the other node looks for it.
  ctx.setOptions([option, ...ip.options]);
  return 0;
}

/** `dsr_set_ipip4`, `dsr_set_ipip6`. The outer source is this node's (`IPV4_RSS_PREFIX` as it is by default). */
function putInto(ctx: TcContext, { config }: BpfObject, backend: IpAddress): void {
  const { ip } = ctx;
  const isIpv4 = ip.version === 4;
  const src = (isIpv4 ? config.directRoutingIpv4 : config.directRoutingIpv6) ?? ip.src;
  const protocol = isIpv4 ? IPPROTO_IPIP : IPPROTO_IPV6;
  // The outer header is the packet's own but for these.
  const outer = new IpPacket(src, backend, protocol, ip, IPDEFTTL);
  outer.tos = ip.tos;
  outer.id = ip.id;
  outer.dontFragment = ip.dontFragment;
  outer.flowLabel = ip.flowLabel;
  ctx.replace(isIpv4 ? ETH_P_IP : ETH_P_IPV6, outer);
}

/** `encap_geneve_dsr_opt4`, `encap_geneve_dsr_opt6` */
function viaGeneve(ctx: TcContext, obj: BpfObject, service: DsrService): number {
  const { ip } = ctx;
  const info = lookupRemoteEndpoint(ctx, obj, ip.dst);
  if (info?.tunnelEndpoint === undefined) return DROP_NO_TUNNEL_ENDPOINT;
  const says = saysService(ctx);
  if (says === undefined) return DROP_CT_INVALID_HDR;
  if (isTooLong(ctx, obj, dsrOverhead(ctx, obj))) return DROP_FRAG_NEEDED;
  maybeAddL2Header(ctx);
  const options = says ? [dsrGeneveOption(service)] : undefined;
  const trace = { reason: 0, monitor: TRACE_PAYLOAD_LEN };
  const identity = worldOf(ip.src, obj);
  return encapAndRedirect(ctx, obj, info.tunnelEndpoint, identity, info.identity, trace, options);
}
