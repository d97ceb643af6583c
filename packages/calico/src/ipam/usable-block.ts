import { EPOCH_MS } from "@cnilab/core";
import type { Prefix } from "@cnilab/net";
import type { IPAMBlockSpec } from "../api/v3.ts";
import { affinityText, ownerOf, releaseBlockAffinity } from "./affinities.ts";
import { freeCount, garbageCollect, isEmpty } from "./allocation-block.ts";
import { blockOrder } from "./block-order.ts";
import type { AffinityOwner, IpamDatastore } from "./datastore.ts";
import { IpamError, NoFreeBlocks } from "./ipam-error.ts";
import type { IpamSettings, Now } from "./ipam-settings.ts";
import type { Pool } from "./pool.ts";
import type { Reservations } from "./reservations.ts";
import { ask, type IpamSteps } from "./steps.ts";

/** How long an empty block is left to a host that claimed it: two hosts would take it from each other without end (EmptyBlockMinReclaimAge). */
const RECLAIM_AGE_MS = 60_000;

/**
 * A block of the pools that is not there yet, or is the host's and has room; else one that another host has had for a while and does not
 * use (libcalico-go/lib/ipam/ipam_block_reader_writer.go findUsableBlock). By the time that it is claimed it may be somebody's.
 * @throws NoFreeBlocks
 */
export function* usableBlock(
  owner: AffinityOwner,
  pools: readonly Pool[],
  reservations: Reservations,
  settings: IpamSettings,
  now: Now,
): IpamSteps<string> {
  const search = (datastore: IpamDatastore) =>
    findBlock(datastore, owner, pools, reservations, settings, now);
  const { found, empty } = yield* ask(search);
  if (found !== undefined) return found;
  for (const block of empty) {
    const holder = ownerOf(block);
    const claimed = block.affinityClaimTime;
    const age = claimed === undefined ? RECLAIM_AGE_MS : EPOCH_MS + now() - Date.parse(claimed);
    if (holder === undefined || age < RECLAIM_AGE_MS) continue;
    try {
      yield* releaseBlockAffinity(holder, block.cidr, settings, now, {
        requireEmpty: true,
        ...(block.sequenceNumber !== undefined && { sequenceNumber: block.sequenceNumber }),
      });
      return block.cidr;
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
    }
  }
  throw new NoFreeBlocks();
}

interface Search {
  readonly found?: string;
  /** Blocks that nobody uses. */
  readonly empty: readonly IPAMBlockSpec[];
}

/** The real one lists all blocks first. Here those are looked at that the walk comes by, at that same moment. */
function findBlock(
  datastore: IpamDatastore,
  owner: AffinityOwner,
  pools: readonly Pool[],
  reservations: Reservations,
  settings: IpamSettings,
  now: Now,
): Search {
  const mine = affinityText(owner);
  const empty: IPAMBlockSpec[] = [];
  for (const pool of pools) {
    for (const prefix of blocksToTry(pool, owner, reservations, now)) {
      const cidr = String(prefix);
      const stored = datastore.findBlock(cidr);
      if (stored === undefined) return { found: cidr, empty };
      const block = garbageCollect(stored, now(), settings.ipCooldownSeconds);
      if (freeCount(block, reservations) === 0) continue;
      if (block.affinity === mine) return { found: cidr, empty };
      if (isEmpty(block)) empty.push(block);
    }
  }
  return { empty };
}

/** The time of day, as Go's UnixNano tells it. */
function nanosecondsAt(nowMs: number): bigint {
  return BigInt(Math.round((EPOCH_MS + nowMs) * 1000)) * 1000n;
}

/** The blocks that there could be in a pool, in the order in which a host tries them, without those that are reserved. */
export function blocksToTry(
  pool: Pool,
  { host }: AffinityOwner,
  reservations: Reservations,
  now: Now,
): Generator<Prefix, void> {
  return blockOrder(
    pool,
    host,
    () => nanosecondsAt(now()),
    (block) => reservations.around(block),
  );
}
