import type { IpFamily } from "@cnilab/net";
import { parsePrefix } from "@cnilab/net";
import type { BlockAffinitySpec, IPAMBlockSpec } from "../api/v3.ts";
import { garbageCollect, type HostReserved, isEmpty, newBlock } from "./allocation-block.ts";
import type { AffinityKey, AffinityOwner, Stored } from "./datastore.ts";
import {
  BlockClaimConflict,
  BlockNotEmpty,
  IpamError,
  ResourceAlreadyExists,
  ResourceDoesNotExist,
  StaleAffinity,
  UpdateConflict,
} from "./ipam-error.ts";
import { type IpamSettings, type Now, RETRIES } from "./ipam-settings.ts";
import { ask, type IpamSteps } from "./steps.ts";

// How a host comes by a block and loses it (libcalico-go/lib/ipam/ipam_block_reader_writer.go). An affinity is written before its block and
// confirmed after it; so whoever finds one alone knows what was going on.

/** As blocks name it: `host:node-a`. */
export function affinityText({ type, host }: AffinityOwner): string {
  return `${type}:${host}`;
}

/** Whose a block is; `undefined` where it is nobody's. */
export function ownerOf({ affinity }: IPAMBlockSpec): AffinityOwner | undefined {
  const match = /^(host|virtual):(.*)$/s.exec(affinity ?? "");
  if (match === null) return undefined;
  return { type: match[1] as AffinityOwner["type"], host: match[2] as string };
}

export function keyOf({ type, node, cidr }: BlockAffinitySpec): AffinityKey {
  return { type: type === "virtual" ? "virtual" : "host", host: node, cidr };
}

/** CIDRs of the blocks of a family that are a host's. */
export function* affineBlocks(owner: AffinityOwner, family: IpFamily): IpamSteps<string[]> {
  const cidrs = yield* ask((datastore) => datastore.affinitiesOf(owner));
  return cidrs.filter((cidr) => cidr.includes(":") === (family === 6));
}

/** Every change of a block has the next number. */
export function* updateBlock(
  old: Stored<IPAMBlockSpec>,
  block: IPAMBlockSpec,
): IpamSteps<Stored<IPAMBlockSpec>> {
  const next = { ...block, sequenceNumber: (block.sequenceNumber ?? 0) + 1 };
  return yield* ask((datastore) => datastore.updateBlock(old, next));
}

/** An unconfirmed affinity for a block, or the one that is there. */
export function* pendingAffinity(
  owner: AffinityOwner,
  cidr: string,
): IpamSteps<Stored<BlockAffinitySpec>> {
  const key: AffinityKey = { ...owner, cidr };
  const wanted: BlockAffinitySpec = {
    state: "pending",
    node: owner.host,
    type: owner.type,
    cidr,
    deleted: false,
  };
  try {
    return yield* ask((datastore) => datastore.createAffinity(wanted));
  } catch (error) {
    if (!(error instanceof ResourceAlreadyExists)) throw error;
  }
  const there = yield* ask((datastore) => datastore.affinity(key));
  if (there.value.state === "confirmed") return there;
  return yield* setState(there, "pending");
}

function* setState(
  affinity: Stored<BlockAffinitySpec>,
  state: BlockAffinitySpec["state"],
): IpamSteps<Stored<BlockAffinitySpec>> {
  return yield* ask((datastore) =>
    datastore.updateAffinity(affinity, { ...affinity.value, state }),
  );
}

/**
 * Makes the block of an affinity, and confirms the affinity.
 * @throws BlockClaimConflict where another host was faster; then the affinity is taken back
 */
export function* claimBlock(
  affinity: Stored<BlockAffinitySpec>,
  reserved: HostReserved | undefined,
  now: Now,
): IpamSteps<Stored<IPAMBlockSpec>> {
  const { cidr } = affinity.value;
  const mine = affinityText(keyOf(affinity.value));
  let block: Stored<IPAMBlockSpec>;
  try {
    const wanted = newBlock(parsePrefix(cidr), mine, now(), reserved);
    block = yield* ask((datastore) => datastore.createBlock(wanted));
  } catch (error) {
    if (!(error instanceof ResourceAlreadyExists)) throw error;
    block = yield* ask((datastore) => datastore.block(cidr));
    if (block.value.affinity !== mine) {
      yield* deleteQuietly(affinity);
      throw new BlockClaimConflict(cidr, block.value.affinity);
    }
  }
  yield* confirm(affinity);
  return block;
}

function* confirm(affinity: Stored<BlockAffinitySpec>): IpamSteps<void> {
  try {
    yield* setState(affinity, "confirmed");
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
    const there = yield* findAffinity(keyOf(affinity.value));
    if (there?.value.state !== "confirmed") throw error;
  }
}

function* findAffinity(key: AffinityKey): IpamSteps<Stored<BlockAffinitySpec> | undefined> {
  try {
    return yield* ask((datastore) => datastore.affinity(key));
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
    return undefined;
  }
}

/** What cannot be cleaned up is left for others, who take it for stale. */
function* deleteQuietly(affinity: Stored<BlockAffinitySpec>): IpamSteps<void> {
  try {
    yield* ask((datastore) => datastore.deleteAffinity(affinity));
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
  }
}

/**
 * The block that an affinity is for. It is made where it is not there, and confirmed where it is not (ipam.go getBlockFromAffinity).
 * @throws StaleAffinity where the block is not the host's; the affinity is deleted
 */
export function* blockOfAffinity(
  affinity: Stored<BlockAffinitySpec>,
  reserved: HostReserved | undefined,
  now: Now,
): IpamSteps<Stored<IPAMBlockSpec>> {
  const { cidr, state } = affinity.value;
  let block: Stored<IPAMBlockSpec>;
  try {
    block = yield* ask((datastore) => datastore.block(cidr));
  } catch (error) {
    if (!(error instanceof ResourceDoesNotExist)) throw error;
    const pending = yield* setState(affinity, "pending");
    return yield* claimBlock(pending, reserved, now);
  }
  if (block.value.affinity !== affinityText(keyOf(affinity.value))) {
    yield* ask((datastore) => datastore.deleteAffinity(affinity));
    throw new StaleAffinity(`Affinity is stale: ${cidr} is not ${affinity.value.node}'s`);
  }
  if (state !== "confirmed" && state !== "") {
    const pending = yield* setState(affinity, "pending");
    // Written so that nobody else's copy of it counts any more.
    block = yield* updateBlock(block, block.value);
    yield* setState(pending, "confirmed");
  }
  return block;
}

export interface ReleaseAffinityOptions {
  readonly requireEmpty?: boolean;
  /** The block is to be as it was when the caller read it. */
  readonly sequenceNumber?: number;
}

/**
 * Takes a block from a host. An empty one is deleted; from one in use everybody may borrow.
 * @throws BlockClaimConflict where it is not the host's, BlockNotEmpty
 */
export function* releaseBlockAffinity(
  owner: AffinityOwner,
  cidr: string,
  settings: IpamSettings,
  now: Now,
  options: ReleaseAffinityOptions = {},
): IpamSteps<void> {
  const affinity = yield* ask((datastore) => datastore.affinity({ ...owner, cidr }));
  const stored = yield* ask((datastore) => datastore.block(cidr));
  const block = garbageCollect(stored.value, now(), settings.ipCooldownSeconds);
  const { sequenceNumber } = options;
  if (sequenceNumber !== undefined && sequenceNumber !== block.sequenceNumber) {
    throw new IpamError("IPAM block updated since we last read it");
  }
  if (block.affinity !== undefined && block.affinity !== affinityText(owner)) {
    yield* deleteQuietly(affinity);
    throw new BlockClaimConflict(cidr, block.affinity);
  }
  const empty = isEmpty(block);
  if (options.requireEmpty && !empty) throw new BlockNotEmpty(cidr);
  const leaving = yield* setState(affinity, "pendingDeletion");
  if (empty) {
    yield* ignoringAbsence((datastore) => datastore.deleteBlock(stored));
  } else {
    const { affinity: _, affinityClaimTime: __, ...nobodys } = block;
    yield* updateBlock(stored, nobodys);
  }
  yield* ignoringAbsence((datastore) => datastore.deleteAffinity(leaving));
}

/** Does what may have been done by another already. */
export function* ignoringAbsence(call: Parameters<typeof ask<void>>[0]): IpamSteps<void> {
  try {
    yield* ask(call);
  } catch (error) {
    if (!(error instanceof ResourceDoesNotExist)) throw error;
  }
}

/** Releases what a host has, block by block. @throws the last failure, after all were tried */
export function* releaseHostAffinities(
  owner: AffinityOwner,
  settings: IpamSettings,
  now: Now,
  requireEmpty: boolean,
): IpamSteps<void> {
  let failure: unknown;
  for (const family of [4, 6] as const) {
    for (const cidr of yield* affineBlocks(owner, family)) {
      try {
        yield* retried(() => releaseBlockAffinity(owner, cidr, settings, now, { requireEmpty }));
      } catch (error) {
        if (error instanceof BlockClaimConflict || error instanceof ResourceDoesNotExist) continue;
        failure = error;
      }
    }
  }
  if (failure !== undefined) throw failure;
}

/** Tries again while others change what it changes. @throws UpdateConflict in the end */
export function* retried<T>(steps: () => IpamSteps<T>): IpamSteps<T> {
  for (let tries = 1; ; tries++) {
    try {
      return yield* steps();
    } catch (error) {
      if (!(error instanceof UpdateConflict) || tries === RETRIES) throw error;
    }
  }
}
