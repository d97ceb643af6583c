import type { TcContext } from "@cnilab/linux";
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from "@cnilab/net";
import type { CtTuple } from "../../maps/conntrack-map.ts";
import type { LbReverseNat } from "../../maps/lb-maps.ts";
import type { BpfObject } from "../bpf-object.ts";
import { DROP_UNKNOWN_L4 } from "../drop-reason.ts";
import { hasL4Header } from "../ipfrag.ts";
import { isServiceProtocol } from "./extract-tuple.ts";
import { rewriteDestination, rewriteSource } from "./translate.ts";

/** `lb4_lookup_rev_nat_entry`: the service of a number. */
export function lbLookupReverseNat(
  ctx: TcContext,
  { maps }: BpfObject,
  index: number,
): LbReverseNat | undefined {
  return ctx.lookup(maps.lb(ctx.ip.version).reverseNat, index);
}

/**
 * Gives an answer the service's address in the place of the backend's (`lb4_rev_nat`, `lb6_rev_nat`).
 * @param loopback the backend is who asked: it gets its own address back, too
 * @returns 0, or a reason to drop
 */
export function lbReverseNat(
  ctx: TcContext,
  obj: BpfObject,
  index: number,
  loopback: boolean,
  tuple: CtTuple,
): number {
  const nat = lbLookupReverseNat(ctx, obj, index);
  return nat === undefined ? 0 : applyReverseNat(ctx, obj, tuple, nat, loopback);
}

/** `__lb4_rev_nat`, `__lb6_rev_nat` */
export function applyReverseNat(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  nat: Pick<LbReverseNat, "address" | "port">,
  loopback: boolean,
): number {
  const { ip } = ctx;
  const backend = tuple.saddr;
  tuple.saddr = nat.address;
  if (loopback) {
    const ret = rewriteDestination(ctx, backend, 0);
    if (ret !== 0) return ret;
    tuple.saddr = backend;
  }
  if (!hasL4Header(ip)) return rewriteSource(ctx, nat.address, 0);
  const isIcmp = tuple.nexthdr === IPPROTO_ICMP || tuple.nexthdr === IPPROTO_ICMPV6;
  if (nat.port !== 0 && !isIcmp && !isServiceProtocol(obj, tuple.nexthdr)) return DROP_UNKNOWN_L4;
  return rewriteSource(ctx, nat.address, isIcmp ? 0 : nat.port);
}
