import type { TcContext } from "@cnilab/linux";
import type { BpfObject } from "../bpf-object.ts";

/** Remembers the MAC that a client's packets come from (`neigh_record_ip4`, `neigh_record_ip6`). */
export function recordNeighbour(ctx: TcContext, { maps }: BpfObject): void {
  const { src, version } = ctx.ip;
  const map = maps.neighbours(version);
  if (ctx.lookup(map, src) !== ctx.srcMac) ctx.update(map, src, ctx.srcMac);
}
