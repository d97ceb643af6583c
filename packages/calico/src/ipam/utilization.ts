import { type IpFamily, type Prefix, parsePrefix } from "@cnilab/net";
import type { IPAMBlockSpec } from "../api/v3.ts";
import { freeCount } from "./allocation-block.ts";
import type { IpamDatastore } from "./datastore.ts";
import type { Pool } from "./pool.ts";
import { Reservations } from "./reservations.ts";

/** Counts of addresses. One that was handed out before it was reserved counts for both. */
export interface Utilization {
  readonly cidr: string;
  readonly capacity: number;
  readonly inUse: number;
  readonly reserved: number;
  readonly available: number;
}

export interface PoolUtilization extends Utilization {
  readonly name: string;
  readonly blocks: readonly Utilization[];
}

/** How full the pools are, and the blocks that are in none of them (libcalico-go/lib/ipam/ipam.go GetUtilization). */
export interface UtilizationReport {
  readonly pools: readonly PoolUtilization[];
  readonly orphanedBlocks: readonly Utilization[];
}

export function utilization(datastore: IpamDatastore): UtilizationReport {
  const pools = datastore.pools();
  const reservations = Reservations.of(datastore.reservedCidrs());
  const found = new Map<Pool, IPAMBlockSpec[]>(pools.map((pool) => [pool, []]));
  const orphaned: IPAMBlockSpec[] = [];
  for (const { value } of datastore.blocks()) {
    const prefix = parsePrefix(value.cidr);
    const pool = pools.find(({ cidr }) => cidr.overlaps(prefix));
    // The real one looks for blocks without a pool under 0.0.0.0/0, where those of IPv6 are not.
    if (pool === undefined && prefix.family === ORPHANS_FAMILY) orphaned.push(value);
    if (pool !== undefined) found.get(pool)?.push(value);
  }
  return {
    pools: pools.map((pool) => ofPool(pool, found.get(pool) ?? [], reservations)),
    orphanedBlocks: orphaned.map((block) => ofBlock(block, reservations)),
  };
}

const ORPHANS_FAMILY: IpFamily = 4;

function ofBlock(block: IPAMBlockSpec, reservations: Reservations): Utilization {
  const capacity = block.allocations.length;
  return {
    cidr: block.cidr,
    capacity,
    inUse: capacity - block.unallocated.length,
    reserved: Number(reservations.countIn(parsePrefix(block.cidr))),
    available: freeCount(block, reservations),
  };
}

/** Room that no block has been cut from is a pool's as well. */
function ofPool(
  { name, cidr }: Pool,
  specs: readonly IPAMBlockSpec[],
  reservations: Reservations,
): PoolUtilization {
  const blocks = specs.map((block) => ofBlock(block, reservations));
  const prefixes: Prefix[] = specs.map((block) => parsePrefix(block.cidr));
  const outside = cidr.size - reservations.and(prefixes).countIn(cidr);
  return {
    name,
    cidr: String(cidr),
    capacity: Number(cidr.size),
    inUse: blocks.reduce((sum, block) => sum + block.inUse, 0),
    reserved: Number(reservations.countIn(cidr)),
    available: blocks.reduce((sum, block) => sum + block.available, Number(outside)),
    blocks,
  };
}
