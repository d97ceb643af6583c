import { type FibLookupResult, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { BpfObject } from "./bpf-object.ts";
import type { ExtendedError } from "./drop.ts";
import { DROP_NO_FIB } from "./drop-reason.ts";
import { forwardL3 } from "./l3.ts";

/** `BPF_FIB_LKUP_RET_*` by number. */
export const FIB_LKUP_RETURN_CODES: Readonly<Record<FibLookupResult["code"], number>> = {
  SUCCESS: 0,
  BLACKHOLE: 1,
  UNREACHABLE: 2,
  PROHIBIT: 3,
  NOT_FWDED: 4,
  FWD_DISABLED: 5,
  NO_NEIGH: 7,
  FRAG_NEEDED: 8,
  NO_SRC_ADDR: 9,
};

export const BPF_FIB_LKUP_RET_NOT_FWDED = 4;

/** Where a packet went (`oif`). */
export interface FibRedirect {
  /** A verdict, or a reason to drop. */
  readonly ret: number;
  readonly oif: number;
}

/**
 * Sends a packet on as routes say, past the node's stack (`fib_redirect_v4`, `fib_redirect_v6`).
 * @param needsL2Check whether it may come from a device without Ethernet headers, or go to one
 */
export function fibRedirect(
  ctx: TcContext,
  obj: BpfObject,
  needsL2Check: boolean,
  extErr: ExtendedError,
): FibRedirect {
  const { src, dst } = ctx.ip;
  const found = ctx.fibLookup({ src, dst, ifindex: ctx.ifindex });
  if (found.code !== "SUCCESS" && found.code !== "NO_NEIGH") {
    extErr.value = FIB_LKUP_RETURN_CODES[found.code];
    return { ret: DROP_NO_FIB, oif: 0 };
  }
  const { ifindex: oif } = found;
  const ret = forwardL3(ctx, obj, undefined, undefined);
  if (ret !== TC_ACT_OK) return { ret, oif };
  return { ret: fibDoRedirect(ctx, obj, needsL2Check, found), oif };
}

/** `fib_do_redirect` */
export function fibDoRedirect(
  ctx: TcContext,
  { config }: BpfObject,
  needsL2Check: boolean,
  found: FibLookupResult,
): number {
  const { ifindex } = found;
  if (needsL2Check) {
    const isL3 = config.devices.some((device) => device.ifindex === ifindex && device.isL3);
    if (isL3) return ctx.redirect(ifindex);
    if (!ctx.hasMacHeader) ctx.changeHead();
  }
  if (found.dstMac === undefined || found.srcMac === undefined) {
    return ctx.redirectNeigh(ifindex, found.nextHop);
  }
  ctx.dstMac = found.dstMac;
  ctx.srcMac = found.srcMac;
  return ctx.redirect(ifindex);
}

/** Puts an Ethernet header before a packet of a device that has none (`maybe_add_l2_hdr`). */
export function maybeAddL2Header(ctx: TcContext): void {
  if (!ctx.hasMacHeader) ctx.changeHead();
}
