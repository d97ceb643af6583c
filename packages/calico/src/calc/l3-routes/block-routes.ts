import { addToIp, Prefix, tryParsePrefix } from "@cnilab/net";
import type { IPAMBlock } from "../../api/v3/ipam.ts";

/** A destination that IPAM gives to a node: a block, or an address out of another node's. */
export interface BlockRoute {
  readonly dst: Prefix;
  readonly node: string;
}

/** Whom a block belongs to, by `host:NODE` or `virtual:NAME` (`libcalico-go/lib/backend/model/block.go` Host). */
export function blockOwner(affinity: string | undefined): string | undefined {
  const match = /^(?:host|virtual):(.+)$/.exec(affinity ?? "");
  return match?.[1];
}

const known = new WeakMap<IPAMBlock, readonly BlockRoute[]>();

/**
 * The block itself, and each of its addresses that another node has (`NonAffineAllocations`). Blocks change with every pod and their
 * routes hardly ever: a block whose routes are as before makes no difference to `sameBlockRoutes`.
 */
export function blockRoutes(block: IPAMBlock): readonly BlockRoute[] {
  let routes = known.get(block);
  if (routes === undefined) {
    routes = read(block);
    known.set(block, routes);
  }
  return routes;
}

function read({ spec }: IPAMBlock): BlockRoute[] {
  const cidr = tryParsePrefix(spec.cidr);
  if (cidr === undefined) return [];
  const owner = blockOwner(spec.affinity);
  const routes: BlockRoute[] = [];
  for (const [ordinal, attribute] of spec.allocations.entries()) {
    if (attribute === null) continue;
    const node = spec.attributes[attribute]?.secondary?.["node"];
    if (node === undefined || node === "" || node === owner) continue;
    routes.push({ dst: Prefix.host(addToIp(cidr.address, ordinal)), node });
  }
  if (owner !== undefined) routes.push({ dst: cidr, node: owner });
  return routes;
}

export function sameBlockRoutes(x: readonly BlockRoute[], y: readonly BlockRoute[]): boolean {
  return (
    x === y ||
    (x.length === y.length &&
      x.every((route, i) => {
        const other = y[i] as BlockRoute;
        return route.node === other.node && route.dst.equals(other.dst);
      }))
  );
}
