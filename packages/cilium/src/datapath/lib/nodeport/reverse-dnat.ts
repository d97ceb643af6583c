import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { RESERVED_IDENTITY } from "../../../identity/numeric-identity.ts";
import type { BpfObject } from "../bpf-object.ts";
import {
  CT_ENTRY_NODEPORT,
  CT_INGRESS,
  CT_REPLY,
  ctLazyLookup,
  SCOPE_REVERSE,
  tupleOf,
} from "../conntrack.ts";
import { CtState } from "../ct-state.ts";
import type { ExtendedError } from "../drop.ts";
import { DROP_UNKNOWN_L4, DROP_UNSUPP_SERVICE_PROTO } from "../drop-reason.ts";
import { encapAndRedirect } from "../encap.ts";
import { lookupRemoteEndpoint } from "../eps.ts";
import { maybeAddL2Header } from "../fib.ts";
import { forwardL3 } from "../l3.ts";
import { lbExtractTuple } from "../lb/extract-tuple.ts";
import { lbReverseNat } from "../lb/reverse-nat.ts";
import { setSnatDone } from "../mark.ts";
import type { TraceCtx } from "../trace.ts";
import { unknownTrace } from "../trace.ts";
import { fibRedirectTo } from "./redirect.ts";

/**
 * Gives a backend's answer the service's address, and sends it to who asked (`nodeport_rev_dnat_ipv4`,
 * `nodeport_rev_dnat_ipv6`): one of this node's pods, or of another node's once its destination was put back.
 * @returns a verdict that sends it on, `TC_ACT_OK` for what answers no service's client, or a reason to drop
 */
export function nodePortReverseDnat(
  ctx: TcContext,
  obj: BpfObject,
  trace: TraceCtx,
  extErr: ExtendedError,
): number {
  const { ip } = ctx;
  const tuple = tupleOf(ip);
  const ret = lbExtractTuple(ctx, obj, tuple);
  if (ret === DROP_UNSUPP_SERVICE_PROTO || ret === DROP_UNKNOWN_L4) return TC_ACT_OK;
  if (ret < 0) return ret;
  const state = new CtState();
  const ct = unknownTrace();
  const found = ctLazyLookup(
    ctx,
    obj,
    obj.maps.ct(tuple.daddr, tuple.nexthdr),
    tuple,
    ip,
    CT_INGRESS,
    SCOPE_REVERSE,
    CT_ENTRY_NODEPORT,
    state,
    ct,
  );
  if (found !== CT_REPLY) return TC_ACT_OK;
  trace.reason = CT_REPLY;
  trace.monitor = ct.monitor;
  const translated = lbReverseNat(ctx, obj, state.revNatIndex, false, tuple);
  if (translated !== 0) return translated;
  setSnatDone(ctx);
  return sendAnswer(ctx, obj, ip.src, ip.dst, trace, extErr);
}

function sendAnswer(
  ctx: TcContext,
  obj: BpfObject,
  src: IpAddress,
  dst: IpAddress,
  trace: TraceCtx,
  extErr: ExtendedError,
): number {
  const ret = forwardL3(ctx, obj, undefined, undefined);
  if (ret !== TC_ACT_OK) return ret;
  if (obj.config.tunnelMode) {
    const info = lookupRemoteEndpoint(ctx, obj, dst);
    if (info?.tunnelEndpoint !== undefined && !info.skipTunnel) {
      const { tunnelEndpoint, identity } = info;
      maybeAddL2Header(ctx);
      const src = RESERVED_IDENTITY.remoteNode;
      return encapAndRedirect(ctx, obj, tunnelEndpoint, src, identity, trace);
    }
  }
  return fibRedirectTo(ctx, obj, src, dst, extErr);
}
