import type { TcContext } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { BpfObject } from "../bpf-object.ts";
import type { ExtendedError } from "../drop.ts";
import { DROP_NO_FIB } from "../drop-reason.ts";
import { FIB_LKUP_RETURN_CODES, fibDoRedirect } from "../fib.ts";

/**
 * Sends a packet on as routes say, from a device that the stack never sees it on (`fib_redirect`). Its time to live has been
 * looked at before.
 */
export function fibRedirectTo(
  ctx: TcContext,
  obj: BpfObject,
  src: IpAddress,
  dst: IpAddress,
  extErr: ExtendedError,
): number {
  const found = ctx.fibLookup({ src, dst, ifindex: ctx.ifindex });
  if (found.code === "SUCCESS" || found.code === "NO_NEIGH") {
    return fibDoRedirect(ctx, obj, true, found);
  }
  extErr.value = FIB_LKUP_RETURN_CODES[found.code];
  return DROP_NO_FIB;
}

/** The same for what leaves already: `undefined` where it is on the right device (`nodeport_fib_lookup_and_redirect`). */
export function fibRedirectElsewhere(
  ctx: TcContext,
  obj: BpfObject,
  src: IpAddress,
  dst: IpAddress,
  extErr: ExtendedError,
): number | undefined {
  const found = ctx.fibLookup({ src, dst, ifindex: ctx.ifindex });
  if (found.code !== "SUCCESS" && found.code !== "NO_NEIGH") {
    extErr.value = FIB_LKUP_RETURN_CODES[found.code];
    return DROP_NO_FIB;
  }
  if (found.ifindex === obj.interfaceIfindex) return undefined;
  return fibDoRedirect(ctx, obj, true, found);
}
