import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { identityOfTunnelId } from "../lib/identity.ts";
import { isSnatDone, MARK_MAGIC_OVERLAY, setIdentityMark } from "../lib/mark.ts";
import { clearMeta } from "../lib/meta.ts";
import { unknownTrace } from "../lib/trace.ts";

/** What is put into the tunnel (`cil_to_overlay`), on the way out of its device. */
export function cilToOverlay(ctx: TcContext, obj: BpfObject): number {
  const snatDone = isSnatDone(ctx);
  clearMeta(ctx);
  const { tunnelKey } = ctx;
  let src: NumericIdentity = RESERVED_IDENTITY.unknown;
  // Without a key the tunnel drops it, as what the kernel sends of itself.
  if (tunnelKey !== undefined && ctx.isIp) {
    src = identityOfTunnelId(tunnelKey.tunnelId, ctx.ip.src, obj);
  }
  setIdentityMark(ctx, src, MARK_MAGIC_OVERLAY);
  if (!obj.config.lb.nodePort || snatDone) return TC_ACT_OK;
  return obj.services.natFwd(ctx, obj, src, false, unknownTrace(), { value: 0 }) ?? TC_ACT_OK;
}
