import { formatIp, type IpAddress, parsePrefix } from "@cnilab/net";
import type { AllocationAttribute, IPAMBlockSpec } from "../api/v3.ts";
import { ownerOf, releaseBlockAffinity, updateBlock } from "./affinities.ts";
import {
  addressAt,
  assignmentOf,
  garbageCollect,
  isEmpty,
  ordinalsOfHandle,
  type ReleaseOptions,
  releaseFrom,
  releaseHandleFrom,
  sanitizeHandle,
} from "./allocation-block.ts";
import type { Stored } from "./datastore.ts";
import { decrementQuietly } from "./handles.ts";
import { IpamError, ResourceDoesNotExist, UpdateConflict } from "./ipam-error.ts";
import { type IpamSettings, ipamSettings, type Now, RETRIES } from "./ipam-settings.ts";
import { poolOfAddress, selectsNode } from "./pool.ts";
import { blockOfAddress } from "./reservations.ts";
import { ask, type IpamSteps } from "./steps.ts";

const TOO_MANY = "Max retries hit - excessive concurrent IPAM requests";

/** Gives back all that a handle has (libcalico-go/lib/ipam/ipam.go ReleaseByHandle). @throws ResourceDoesNotExist for a handle that is not there */
export function* releaseByHandle(id: string, now: Now): IpamSteps<void> {
  const handle = sanitizeHandle(id);
  const stored = yield* ask((datastore) => datastore.handle(handle));
  const settings = yield* ipamSettings();
  for (const cidr of Object.keys(stored.value.block)) {
    yield* releaseHandleIn(cidr, handle, settings, now);
  }
}

function* releaseHandleIn(
  cidr: string,
  handle: string,
  settings: IpamSettings,
  now: Now,
): IpamSteps<void> {
  for (let tries = 0; tries < RETRIES; tries++) {
    const stored = yield* findStored(cidr);
    // A handle may say too much.
    if (stored === undefined) return;
    const { ipCooldownSeconds } = settings;
    const there = garbageCollect(stored.value, now(), ipCooldownSeconds);
    const { block, count } = releaseHandleFrom(there, handle, now(), ipCooldownSeconds);
    if (count === 0) return;
    try {
      yield* writeReleased(stored, block);
    } catch (error) {
      if (error instanceof UpdateConflict) continue;
      throw error;
    }
    yield* decrementQuietly(handle, cidr, count);
    yield* keepAffinityConsistent(block, settings, now);
    return;
  }
  throw new IpamError("Hit max retries");
}

function* findStored(cidr: string): IpamSteps<Stored<IPAMBlockSpec> | undefined> {
  try {
    return yield* ask((datastore) => datastore.block(cidr));
  } catch (error) {
    if (!(error instanceof ResourceDoesNotExist)) throw error;
    return undefined;
  }
}

/** A block that is nobody's goes with its last address. */
function* writeReleased(stored: Stored<IPAMBlockSpec>, block: IPAMBlockSpec): IpamSteps<void> {
  if (block.affinity !== undefined || !isEmpty(block)) {
    yield* updateBlock(stored, block);
    return;
  }
  try {
    yield* ask((datastore) => datastore.deleteBlock(stored));
  } catch (error) {
    if (!(error instanceof ResourceDoesNotExist)) throw error;
  }
}

/** A block whose pool is no longer for its node is given up when it is empty (ensureConsistentAffinity). What goes wrong here is not told. */
function* keepAffinityConsistent(
  block: IPAMBlockSpec,
  settings: IpamSettings,
  now: Now,
): IpamSteps<void> {
  const owner = ownerOf(block);
  if (owner === undefined) return;
  const { address } = parsePrefix(block.cidr);
  const pools = yield* ask((datastore) => datastore.pools());
  const pool = poolOfAddress(
    pools.filter(({ disabled }) => !disabled),
    address,
  );
  // A pool for all nodes is for this one, too.
  if (pool?.nodeSelector === undefined) return;
  try {
    const labels = yield* ask((datastore) => datastore.nodeLabels(owner.host));
    if (selectsNode(pool, labels)) return;
    yield* releaseBlockAffinity(owner, block.cidr, settings, now, { requireEmpty: true });
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
  }
}

export interface ReleasedAddresses {
  /** Addresses that were free already. */
  readonly notAllocated: readonly IpAddress[];
  /** What was asked for and did not fail. */
  readonly released: readonly ReleaseOptions[];
}

/** Gives back addresses, block by block (ReleaseIPs). @throws the first failure, after all blocks were tried */
export function* releaseIps(
  options: readonly ReleaseOptions[],
  now: Now,
): IpamSteps<ReleasedAddresses> {
  const settings = yield* ipamSettings();
  const notAllocated: IpAddress[] = [];
  const released: ReleaseOptions[] = [];
  const byBlock = new Map<string, ReleaseOptions[]>();
  for (const option of options) {
    const cidr = yield* blockCidrOf(option.address);
    if (cidr === undefined) {
      notAllocated.push(option.address);
      continue;
    }
    const there = byBlock.get(cidr);
    if (there === undefined) byBlock.set(cidr, [option]);
    else there.push(option);
  }
  let failure: unknown;
  for (const [cidr, some] of byBlock) {
    try {
      notAllocated.push(...(yield* releaseIpsIn(cidr, some, settings, now)));
      released.push(...some);
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return { notAllocated, released };
}

/** By the address's pool, enabled or not; by a search through all blocks where it has none. */
function* blockCidrOf(address: IpAddress): IpamSteps<string | undefined> {
  const pools = yield* ask((datastore) => datastore.pools());
  const pool = poolOfAddress(pools, address);
  if (pool !== undefined) return String(blockOfAddress(address, pool.blockSize));
  const blocks = yield* ask((datastore) => datastore.blocks());
  return blocks.find(({ value }) => parsePrefix(value.cidr).contains(address))?.value.cidr;
}

function* releaseIpsIn(
  cidr: string,
  options: readonly ReleaseOptions[],
  settings: IpamSettings,
  now: Now,
): IpamSteps<readonly IpAddress[]> {
  for (let tries = 0; tries < RETRIES; tries++) {
    const stored = yield* findStored(cidr);
    if (stored === undefined) return options.map(({ address }) => address);
    const there = garbageCollect(stored.value, now(), settings.ipCooldownSeconds);
    const result = releaseFrom(there, options, now(), settings.ipCooldownSeconds);
    if (result.notAllocated.length === options.length) return result.notAllocated;
    try {
      yield* writeReleased(stored, result.block);
    } catch (error) {
      if (error instanceof UpdateConflict) continue;
      throw error;
    }
    for (const [handle, count] of result.countByHandle) {
      yield* decrementQuietly(handle, cidr, count);
    }
    yield* keepAffinityConsistent(result.block, settings, now);
    return result.notAllocated;
  }
  throw new IpamError(TOO_MANY);
}

/** Writes back a block out of which addresses have become free by themselves (GarbageCollectColdIPs). */
export function* collectColdAddresses(cidr: string, now: Now): IpamSteps<void> {
  const settings = yield* ipamSettings();
  const stored = yield* findStored(cidr);
  if (stored === undefined) return;
  const block = garbageCollect(stored.value, now(), settings.ipCooldownSeconds);
  if (block === stored.value) return;
  try {
    yield* updateBlock(stored, block);
  } catch (error) {
    // Whoever changed it did this, too.
    if (!(error instanceof UpdateConflict || error instanceof ResourceDoesNotExist)) throw error;
  }
}

/** The addresses that a handle has. @throws ResourceDoesNotExist for a handle that is not there */
export function* ipsByHandle(id: string, now: Now): IpamSteps<IpAddress[]> {
  const stored = yield* ask((datastore) => datastore.handle(id));
  const settings = yield* ipamSettings();
  const addresses: IpAddress[] = [];
  for (const cidr of Object.keys(stored.value.block)) {
    const block = yield* findStored(cidr);
    if (block === undefined) continue;
    const there = garbageCollect(block.value, now(), settings.ipCooldownSeconds);
    for (const ordinal of ordinalsOfHandle(there, id)) addresses.push(addressAt(there, ordinal));
  }
  return addresses;
}

/** Who has an address (GetAssignmentAttributes). @throws ResourceDoesNotExist where nobody has it, AddressInCooldown */
export function* assignmentAttributes(
  address: IpAddress,
  now: Now,
): IpamSteps<AllocationAttribute> {
  const pools = yield* ask((datastore) => datastore.pools());
  const pool = poolOfAddress(
    pools.filter(({ disabled }) => !disabled),
    address,
  );
  if (pool === undefined) {
    throw new ResourceDoesNotExist(formatIp(address), "No valid IPPool");
  }
  const cidr = String(blockOfAddress(address, pool.blockSize));
  const stored = yield* ask((datastore) => datastore.block(cidr));
  const settings = yield* ipamSettings();
  return assignmentOf(garbageCollect(stored.value, now(), settings.ipCooldownSeconds), address);
}
