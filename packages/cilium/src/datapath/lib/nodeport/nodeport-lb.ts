import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../../identity/numeric-identity.ts";
import { SVC_FLAG } from "../../../services/service-flags.ts";
import type { CtTuple } from "../../maps/conntrack-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import {
  CT_EGRESS,
  CT_ENTRY_NODEPORT,
  CT_ESTABLISHED,
  CT_NEW,
  ctCreate,
  ctLazyLookup,
  SCOPE_FORWARD,
  tupleOf,
} from "../conntrack.ts";
import { CtState } from "../ct-state.ts";
import type { ExtendedError } from "../drop.ts";
import {
  DROP_INVALID,
  DROP_IS_CLUSTER_IP,
  DROP_NO_SERVICE,
  DROP_NOT_IN_SRC_RANGE,
  DROP_UNKNOWN_CT,
  DROP_UNKNOWN_L4,
  DROP_UNSUPP_SERVICE_PROTO,
} from "../drop-reason.ts";
import { lookupEndpoint } from "../eps.ts";
import { worldOf } from "../identity.ts";
import { lbExtractTuple } from "../lb/extract-tuple.ts";
import { LB_PUNT_TO_STACK, lbLocal } from "../lb/local.ts";
import {
  type FoundService,
  hasFlag,
  isL7LoadBalancer,
  lbLookupService,
} from "../lb/lookup-service.ts";
import { noService } from "../lb/no-service.ts";
import { lbSourceRangeOk } from "../lb/source-range.ts";
import { toProxyMark } from "../mark.ts";
import type { NodePortOutcome } from "../service-hooks.ts";
import { sendTraceNotify, TRACE_PAYLOAD_LEN, TRACE_TO_PROXY, unknownTrace } from "../trace.ts";
import { dsrDispatch } from "./dsr-dispatch.ts";
import { dsrIngress, extractDsr, looksForDsr } from "./dsr-ingress.ts";
import { nodePortNatEgress } from "./nat-egress.ts";
import { nodePortNatIngress } from "./nat-ingress.ts";
import { recordNeighbour } from "./neighbour.ts";
import { isDsrEnabled, usesDsr } from "./uses-dsr.ts";

/**
 * What comes from outside (`nodeport_lb4`, `nodeport_lb6`): for a service with a backend here, which it goes on to; for one
 * with a backend elsewhere, where it is sent; or an answer of such a one.
 * @returns a verdict, or a reason to drop; `outcome` says whose
 */
export function nodePortLb(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  outcome: NodePortOutcome,
  extErr: ExtendedError,
): number {
  const { config } = obj;
  const { ip } = ctx;
  const tuple = tupleOf(ip);
  const extracted = lbExtractTuple(ctx, obj, tuple);
  if (extracted === DROP_UNKNOWN_L4) return TC_ACT_OK;
  const isService = extracted !== DROP_UNSUPP_SERVICE_PROTO;
  if (isService) {
    if (extracted < 0) return extracted;
    const asked = { address: tuple.daddr, port: tuple.sport, protocol: tuple.nexthdr };
    const found = lbLookupService(ctx, obj, asked, false);
    if (found !== undefined) return serviceLb(ctx, obj, found, tuple, identity, outcome);
    if (isDsrEnabled(config.lb) && looksForDsr(obj)) {
      const info = extractDsr(ctx, obj, tuple);
      if (typeof info === "number") return info;
      if (info !== undefined) {
        outcome.isDsr = true;
        return dsrIngress(ctx, obj, tuple, info);
      }
    }
  } else {
    const masquerades = ip.version === 4 ? config.bpfMasqueradeIpv4 : config.bpfMasqueradeIpv6;
    if (!masquerades) return TC_ACT_OK;
  }
  return nodePortNatIngress(ctx, obj, extErr);
}

/** `nodeport_svc_lb4`, `nodeport_svc_lb6` */
function serviceLb(
  ctx: TcContext,
  obj: BpfObject,
  found: FoundService,
  tuple: CtTuple,
  identity: NumericIdentity,
  outcome: NodePortOutcome,
): number {
  const { config, maps } = obj;
  const { lb } = config;
  const { key, svc } = found;
  if (!lbSourceRangeOk(ctx, obj, svc, ctx.ip.src)) return DROP_NOT_IN_SRC_RANGE;
  if (!hasFlag(svc, SVC_FLAG.routable)) return DROP_IS_CLUSTER_IP;
  if (isL7LoadBalancer(obj, svc))
    return toProxy(ctx, obj, svc.l7LbProxyPort ?? 0, identity, outcome);
  const { nexthdr } = tuple;
  const dsr = usesDsr(lb, svc, nexthdr);
  const map = maps.ct(tuple.daddr, nexthdr);
  const service = new CtState();
  const ret = lbLocal(ctx, obj, map, found, tuple, service, dsr && lb.dsrDispatch === "ipip");
  if (ret === LB_PUNT_TO_STACK) {
    outcome.puntToStack = true;
    return TC_ACT_OK;
  }
  if (ret === DROP_NO_SERVICE) {
    // Its answer is sent from here.
    return noService(ctx, obj);
  }
  if (ret < 0) return ret;
  const backend = tuple.daddr;
  const isLocal = lookupEndpoint(ctx, obj, backend) !== undefined;
  if (!isLocal && hasFlag(svc, SVC_FLAG.hostPort)) return DROP_INVALID;
  if (isLocal || !dsr) {
    const tracked = track(ctx, obj, tuple, service.revNatIndex);
    if (tracked < 0) return tracked;
    if (isLocal) return TC_ACT_OK;
    recordNeighbour(ctx, obj);
  }
  outcome.final = true;
  return dsr
    ? dsrDispatch(ctx, obj, { address: key.address, port: key.port }, backend)
    : nodePortNatEgress(ctx, obj);
}

/** The connection from the client to the backend, which answers are recognised by. */
function track(ctx: TcContext, obj: BpfObject, tuple: CtTuple, revNatIndex: number): number {
  tuple.swapAddresses();
  tuple.swapPorts();
  const map = obj.maps.ct(tuple.daddr, tuple.nexthdr);
  const state = new CtState();
  // One of another service with the same backend is not it.
  state.revNatIndex = revNatIndex;
  const ret = ctLazyLookup(
    ctx,
    obj,
    map,
    tuple,
    ctx.ip,
    CT_EGRESS,
    SCOPE_FORWARD,
    CT_ENTRY_NODEPORT,
    state,
    unknownTrace(),
  );
  if (ret < 0 || ret === CT_ESTABLISHED) return ret;
  if (ret !== CT_NEW) return DROP_UNKNOWN_CT;
  state.srcSecId = worldOf(ctx.ip.src, obj);
  state.nodePort = true;
  return ctCreate(ctx, obj, map, undefined, tuple, CT_EGRESS, state);
}

/** A proxy of the node serves it: the stack hands it over. */
function toProxy(
  ctx: TcContext,
  obj: BpfObject,
  port: number,
  identity: NumericIdentity,
  outcome: NodePortOutcome,
): number {
  sendTraceNotify(ctx, obj, TRACE_TO_PROXY, {
    src: identity,
    dst: RESERVED_IDENTITY.unknown,
    dstId: port,
    ifindex: obj.interfaceIfindex,
    reason: CT_NEW,
    monitor: TRACE_PAYLOAD_LEN,
  });
  ctx.mark = toProxyMark(port);
  outcome.puntToStack = true;
  return TC_ACT_OK;
}
