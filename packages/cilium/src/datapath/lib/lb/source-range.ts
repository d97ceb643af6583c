import type { TcContext } from "@cnilab/linux";
import { addressBits, familyOf, type IpAddress } from "@cnilab/net";
import { SVC_FLAG } from "../../../services/service-flags.ts";
import type { LbService } from "../../maps/lb-maps.ts";
import type { BpfObject } from "../bpf-object.ts";
import { hasFlag } from "./lookup-service.ts";

/** Whether a client may ask for a service with `loadBalancerSourceRanges` (`lb4_src_range_ok`, `lb6_src_range_ok`). */
export function lbSourceRangeOk(
  ctx: TcContext,
  { maps, config }: BpfObject,
  svc: LbService,
  address: IpAddress,
): boolean {
  if (!config.lb.sourceRangeCheck || !hasFlag(svc, SVC_FLAG.sourceRange)) return true;
  const family = familyOf(address);
  const key = { revNat: svc.revNat, address, prefixLength: addressBits(family) };
  const isIn = ctx.lookup(maps.lb(family).sourceRange, key) !== undefined;
  return isIn !== hasFlag(svc, SVC_FLAG.sourceRangeDeny);
}
