import type { TcContext } from "@cnilab/linux";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { setSnatDone } from "../lib/mark.ts";
import { TC_INDEX_F_SKIP_NODEPORT } from "../lib/meta.ts";
import { TRACE_FROM_NETWORK } from "../lib/trace.ts";
import { doNetdev } from "./netdev.ts";

/** What XDP has done with a packet (`XFER_PKT_*`). */
export const XFER_PKT_NO_SVC = 1;
export const XFER_PKT_SNAT_DONE = 4;

/** What comes from the network (`cil_from_netdev`), on the way into a device of the node. */
export function cilFromNetdev(ctx: TcContext, obj: BpfObject): number {
  const { xdpMeta } = ctx;
  let index = ctx.tcIndex & ~TC_INDEX_F_SKIP_NODEPORT;
  if ((xdpMeta & XFER_PKT_NO_SVC) !== 0) index |= TC_INDEX_F_SKIP_NODEPORT;
  if (index !== ctx.tcIndex) ctx.tcIndex = index;
  if (obj.haveEncap && (xdpMeta & XFER_PKT_SNAT_DONE) !== 0) setSnatDone(ctx);
  return doNetdev(ctx, obj, RESERVED_IDENTITY.unknown, TRACE_FROM_NETWORK, false);
}
