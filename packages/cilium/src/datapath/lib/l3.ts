import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { Mac } from "@cnilab/net";
import type { BpfObject } from "./bpf-object.ts";
import { DROP_TTL_EXCEEDED } from "./drop-reason.ts";
import { sendTimeExceeded } from "./icmp6.ts";

/**
 * Takes one off the time to live and puts other MACs in (`ipv4_l3`, `ipv6_l3`). Where it is over, IPv6's sender is told;
 * IPv4's is not.
 * @returns `TC_ACT_OK`, a reason to drop, or another verdict
 */
export function forwardL3(
  ctx: TcContext,
  obj: BpfObject,
  srcMac: Mac | undefined,
  dstMac: Mac | undefined,
): number {
  if (!ctx.decrementTtl()) {
    return ctx.ip.version === 4 ? DROP_TTL_EXCEEDED : sendTimeExceeded(ctx, obj);
  }
  if (srcMac !== undefined) ctx.srcMac = srcMac;
  if (dstMac !== undefined) ctx.dstMac = dstMac;
  return TC_ACT_OK;
}
