import type { Labels } from "@cnilab/core";
import { addressBits, type IpFamily, type Prefix, parsePrefix } from "@cnilab/net";
import type { IPPoolAllowedUse } from "../api/v3.ts";
import { affineBlocks, releaseBlockAffinity } from "./affinities.ts";
import type { HostReserved } from "./allocation-block.ts";
import type { AffinityOwner } from "./datastore.ts";
import {
  BlockClaimConflict,
  BlockNotEmpty,
  IpamError,
  ResourceDoesNotExist,
} from "./ipam-error.ts";
import { type IpamSettings, type Now, RETRIES } from "./ipam-settings.ts";
import { type Pool, poolOfAddress, selectsNamespace, selectsNode } from "./pool.ts";
import { ask, type IpamSteps } from "./steps.ts";

/** Pools to take addresses from, and whom for. */
export interface PoolRequest {
  readonly family: IpFamily;
  readonly owner: AffinityOwner;
  readonly use: IPPoolAllowedUse;
  /** Pools asked for, by CIDR: these alone, whomever they select. */
  readonly pools?: readonly Prefix[];
  /** Labels of the namespace that the addresses are for. */
  readonly namespaceLabels?: Labels;
  readonly reserved?: HostReserved;
}

export interface ChosenPools {
  readonly pools: readonly Pool[];
  /** CIDRs of the host's blocks in these pools. */
  readonly blocks: readonly string[];
}

/**
 * The pools for a request, and the host's blocks in them. Blocks in pools that are no longer for this node are given up where nothing is
 * in use of them (libcalico-go/lib/ipam/ipam.go prepareAffinityBlocksForHost).
 */
export function* choosePools(
  request: PoolRequest,
  settings: IpamSettings,
  now: Now,
): IpamSteps<ChosenPools> {
  const { owner, use } = request;
  const labels =
    use === "LoadBalancer" ? {} : yield* ask((datastore) => datastore.nodeLabels(owner.host));
  const all = yield* enabledPools(request.family);
  const selecting = poolsFor(request, all, labels);
  if (selecting.length === 0) {
    throw new IpamError(`no configured Calico pools for node ${owner.host}`);
  }
  const pools = selecting.filter(({ allowedUses }) => allowedUses.includes(use));
  if (pools.length === 0) {
    throw new IpamError(`${NO_QUALIFIED_POOL}, no pools match the required use (${use})`);
  }
  const blocks: string[] = [];
  for (const cidr of yield* affineBlocks(owner, request.family)) {
    const { address } = parsePrefix(cidr);
    if (poolOfAddress(pools, address) !== undefined) {
      blocks.push(cidr);
      continue;
    }
    if (poolOfAddress(selecting, address) !== undefined) continue;
    const pool = poolOfAddress(all, address);
    if (pool === undefined || selectsNode(pool, labels)) continue;
    yield* giveUpIfEmpty(owner, cidr, settings, now);
  }
  return { pools, blocks };
}

const NO_QUALIFIED_POOL = "cannot find a qualified ippool";

export function* enabledPools(family: IpFamily): IpamSteps<readonly Pool[]> {
  const pools = yield* ask((datastore) => datastore.pools());
  return pools.filter(({ cidr, disabled }) => !disabled && cidr.family === family);
}

/** determinePools */
function poolsFor(request: PoolRequest, all: readonly Pool[], labels: Labels): readonly Pool[] {
  const longest = longestBlock(request.family, request.reserved);
  const usable = all.filter(({ blockSize }) => blockSize <= longest);
  if (usable.length === 0) throw new IpamError(NO_QUALIFIED_POOL);
  const { pools: asked = [], namespaceLabels = {} } = request;
  if (asked.length > 0) {
    return asked.map((cidr) => {
      const pool = usable.find((other) => other.cidr.equals(cidr));
      if (pool !== undefined) return pool;
      throw new IpamError(`the given pool (${cidr}) does not exist, or is not enabled`);
    });
  }
  return all.filter(
    (pool) =>
      pool.assignmentMode === "Automatic" &&
      selectsNode(pool, labels) &&
      selectsNamespace(pool, namespaceLabels),
  );
}

/** Prefix length of the smallest block that has room beside what the host needs for itself (getMaxPrefixLen). */
function longestBlock(family: IpFamily, reserved: HostReserved | undefined): number {
  const count = reserved === undefined ? 0 : reserved.startOfBlock + reserved.endOfBlock;
  return addressBits(family) - (count === 0 ? 0 : count.toString(2).length);
}

function* giveUpIfEmpty(
  owner: AffinityOwner,
  cidr: string,
  settings: IpamSettings,
  now: Now,
): IpamSteps<void> {
  for (let tries = 0; tries < RETRIES; tries++) {
    try {
      yield* releaseBlockAffinity(owner, cidr, settings, now, { requireEmpty: true });
      return;
    } catch (error) {
      if (
        error instanceof BlockClaimConflict ||
        error instanceof BlockNotEmpty ||
        error instanceof ResourceDoesNotExist
      ) {
        return;
      }
      if (!(error instanceof IpamError)) throw error;
    }
  }
}
