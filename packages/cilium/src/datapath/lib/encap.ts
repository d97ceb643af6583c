import type { TcContext } from "@cnilab/linux";
import type { GeneveOption, IpAddress } from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "./bpf-object.ts";
import { tunnelIdOf } from "./identity.ts";
import { sendTraceNotify, TRACE_TO_OVERLAY, type TraceCtx } from "./trace.ts";

const IPDEFTTL = 64;

/**
 * Sends a packet through the tunnel device to another node, its source's identity as VNI
 * (`__encap_and_redirect_with_nodeid`, `__encap_with_nodeid4` and 6, `ctx_set_encap_info4` and 6).
 */
export function encapAndRedirect(
  ctx: TcContext,
  obj: BpfObject,
  tunnelEndpoint: IpAddress,
  identity: NumericIdentity,
  dstIdentity: NumericIdentity,
  trace: TraceCtx,
  options?: readonly GeneveOption[],
): number {
  // There this node is one of the others.
  const src = identity === RESERVED_IDENTITY.host ? RESERVED_IDENTITY.remoteNode : identity;
  const ifindex = obj.config.encapIfindex;
  const { reason, monitor } = trace;
  sendTraceNotify(ctx, obj, TRACE_TO_OVERLAY, { src, dst: dstIdentity, ifindex, reason, monitor });
  ctx.setTunnelKey({
    tunnelId: tunnelIdOf(src, obj),
    remote: tunnelEndpoint,
    ttl: IPDEFTTL,
    zeroChecksum: typeof tunnelEndpoint === "number",
    options,
  });
  return ctx.redirect(ifindex);
}
