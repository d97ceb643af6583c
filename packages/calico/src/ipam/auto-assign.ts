import type { Labels } from "@cnilab/core";
import { type InterfaceAddress, type IpFamily, type Prefix, parsePrefix } from "@cnilab/net";
import type { IPAMBlockSpec, IPPoolAllowedUse } from "../api/v3.ts";
import { affinityText, blockOfAffinity, pendingAffinity, updateBlock } from "./affinities.ts";
import {
  type AddressOwner,
  autoAssignFrom,
  freeCount,
  garbageCollect,
  type HostReserved,
} from "./allocation-block.ts";
import { choosePools } from "./choose-pools.ts";
import type { AffinityOwner, Stored } from "./datastore.ts";
import { decrementQuietly, incrementHandle } from "./handles.ts";
import {
  BlockClaimConflict,
  BlockLimitReached,
  IpamError,
  NoFreeBlocks,
  ResourceDoesNotExist,
  StaleAffinity,
  UpdateConflict,
} from "./ipam-error.ts";
import { type IpamSettings, ipamSettings, type Now, RETRIES } from "./ipam-settings.ts";
import type { Pool } from "./pool.ts";
import { Reservations } from "./reservations.ts";
import { ask, type IpamSteps } from "./steps.ts";
import { blocksToTry, usableBlock } from "./usable-block.ts";

/** Addresses that somebody wants, whichever they are. */
export interface AutoAssignRequest {
  readonly count: number;
  readonly family: IpFamily;
  readonly host: string;
  readonly owner: AddressOwner;
  readonly use: IPPoolAllowedUse;
  /** Pools asked for, by CIDR. */
  readonly pools?: readonly Prefix[];
  readonly namespaceLabels?: Labels;
  /** 0 or absent: what the configuration says. */
  readonly maxBlocksPerHost?: number;
  readonly reserved?: HostReserved;
  readonly os?: "linux" | "windows";
}

/** What came of a request; fewer addresses than asked for are no failure. */
export interface Assignments {
  readonly family: IpFamily;
  readonly requested: number;
  /** Each with the prefix length of its block. */
  readonly addresses: readonly InterfaceAddress[];
  /** What kept it from more. */
  readonly messages: readonly string[];
  readonly reserved?: HostReserved;
}

/** A request that ended half-way. What it got until then is the handle's. */
export class AssignmentFailed extends IpamError {
  readonly assignments: Assignments;

  constructor(cause: IpamError, assignments: Assignments) {
    super(cause.message, { cause });
    this.assignments = assignments;
  }
}

/** A host owns no more than this where nothing else is said; a safeguard (libcalico-go/lib/ipam/ipam.go autoAssign). */
const DEFAULT_MAX_BLOCKS = 20;

/**
 * Hands out addresses: from the host's blocks, then from new ones, then from anybody's.
 * @throws IpamError, {@link AssignmentFailed}
 */
export function* autoAssign(request: AutoAssignRequest, now: Now): IpamSteps<Assignments> {
  const settings = yield* ipamSettings(request.os);
  const reserved = yield* ask((datastore) => datastore.reservedCidrs());
  const owner: AffinityOwner = {
    type: request.use === "LoadBalancer" ? "virtual" : "host",
    host: request.host,
  };
  const { pools, blocks } = yield* choosePools({ ...request, owner }, settings, now);
  const assignment = new Assignment(request, settings, Reservations.of(reserved), owner, now);
  yield* assignment.fromAffineBlocks(pools, blocks);
  if (assignment.missing > 0 && !settings.strictAffinity) yield* assignment.borrow(pools);
  return assignment.result;
}

/** One request under way. */
class Assignment {
  readonly #request: AutoAssignRequest;
  readonly #settings: IpamSettings;
  readonly #reservations: Reservations;
  readonly #owner: AffinityOwner;
  readonly #now: Now;
  readonly #addresses: InterfaceAddress[] = [];
  readonly #messages = new Set<string>();

  constructor(
    request: AutoAssignRequest,
    settings: IpamSettings,
    reservations: Reservations,
    owner: AffinityOwner,
    now: Now,
  ) {
    this.#request = request;
    this.#settings = settings;
    this.#reservations = reservations;
    this.#owner = owner;
    this.#now = now;
  }

  get missing(): number {
    return this.#request.count - this.#addresses.length;
  }

  get result(): Assignments {
    const { family, count, reserved } = this.#request;
    return {
      family,
      requested: count,
      addresses: this.#addresses,
      messages: [...this.#messages],
      ...(reserved !== undefined && { reserved }),
    };
  }

  *fromAffineBlocks(pools: readonly Pool[], affine: readonly string[]): IpamSteps<void> {
    const limit = this.#blockLimit;
    const left = [...affine];
    let owned = affine.length;
    while (this.missing > 0) {
      let block = yield* this.#nextAffineBlock(left);
      if (block === undefined) {
        if (owned >= limit) this.#failAtLimit(limit);
        try {
          block = yield* this.#claimBlock(pools);
        } catch (error) {
          if (error instanceof NoFreeBlocks) {
            if (this.#settings.strictAffinity) {
              this.#messages.add("No more free affine blocks and strict affinity enabled");
            }
            return;
          }
          throw error instanceof IpamError ? new AssignmentFailed(error, this.result) : error;
        }
        owned++;
      }
      yield* this.#assignFrom(block);
    }
  }

  /** The lower one of what the request and the configuration say. */
  get #blockLimit(): number {
    const { maxBlocksPerHost: asked = 0 } = this.#request;
    const { maxBlocksPerHost: set } = this.#settings;
    const limit = asked === 0 ? set : set > 0 ? Math.min(asked, set) : asked;
    return limit === 0 ? DEFAULT_MAX_BLOCKS : limit;
  }

  #failAtLimit(limit: number): never {
    this.#messages.add(
      `Need to allocate an IPAM block but could not - limit of ${limit} blocks reached for this node`,
    );
    throw new AssignmentFailed(new BlockLimitReached(), this.result);
  }

  /** The next of the host's blocks that has room; they are tried one after the other. */
  *#nextAffineBlock(left: string[]): IpamSteps<Stored<IPAMBlockSpec> | undefined> {
    for (let cidr = left.shift(); cidr !== undefined; cidr = left.shift()) {
      if (this.#reservations.covers(parsePrefix(cidr))) continue;
      const block = yield* this.#affineBlock(cidr);
      if (block !== undefined && this.#hasRoom(block)) return block;
    }
    return undefined;
  }

  *#affineBlock(cidr: string): IpamSteps<Stored<IPAMBlockSpec> | undefined> {
    const key = { ...this.#owner, cidr };
    for (let tries = 0; tries < RETRIES; tries++) {
      try {
        const affinity = yield* ask((datastore) => datastore.affinity(key));
        return yield* blockOfAffinity(affinity, this.#request.reserved, this.#now);
      } catch (error) {
        if (!(error instanceof IpamError)) throw error;
        if (!(error instanceof UpdateConflict)) return undefined;
      }
    }
    return undefined;
  }

  #hasRoom({ value }: Stored<IPAMBlockSpec>): boolean {
    return freeCount(this.#collected(value), this.#reservations) > 0;
  }

  #collected(block: IPAMBlockSpec): IPAMBlockSpec {
    return garbageCollect(block, this.#now(), this.#settings.ipCooldownSeconds);
  }

  /** A block that the host did not have before. @throws NoFreeBlocks */
  *#claimBlock(pools: readonly Pool[]): IpamSteps<Stored<IPAMBlockSpec>> {
    if (!this.#settings.autoAllocateBlocks) {
      throw new IpamError("failed to find or claim a block");
    }
    for (let tries = 0; tries < RETRIES; tries++) {
      const cidr = yield* usableBlock(
        this.#owner,
        pools,
        this.#reservations,
        this.#settings,
        this.#now,
      );
      const block = yield* this.#claim(cidr);
      if (block === undefined) continue;
      if (this.#hasRoom(block)) return block;
      throw new IpamError(`Block '${cidr}' has 0 free ips which is less than 1 ips required.`);
    }
    throw new IpamError("Max retries hit - excessive concurrent IPAM requests");
  }

  /** `undefined` where somebody else has the block. */
  *#claim(cidr: string): IpamSteps<Stored<IPAMBlockSpec> | undefined> {
    for (let tries = 0; tries < RETRIES; tries++) {
      try {
        const affinity = yield* pendingAffinity(this.#owner, cidr);
        return yield* blockOfAffinity(affinity, this.#request.reserved, this.#now);
      } catch (error) {
        if (error instanceof BlockClaimConflict || error instanceof StaleAffinity) return undefined;
        if (!(error instanceof UpdateConflict)) throw error;
      }
    }
    return undefined;
  }

  /** As much as there is in one block. What keeps it from that is not told: the next block is tried. */
  *#assignFrom(found: Stored<IPAMBlockSpec>): IpamSteps<void> {
    let block = found;
    for (let tries = 0; tries < RETRIES; tries++) {
      try {
        const affinity = this.#settings.strictAffinity ? affinityText(this.#owner) : undefined;
        yield* this.#take(block, affinity);
        return;
      } catch (error) {
        if (!(error instanceof IpamError)) throw error;
        if (!(error instanceof UpdateConflict)) {
          this.#messages.add("Failed to assign IPs in newly allocated block");
          return;
        }
      }
      const { cidr } = block.value;
      try {
        block = yield* ask((datastore) => datastore.block(cidr));
      } catch (error) {
        if (!(error instanceof ResourceDoesNotExist)) throw error;
        return;
      }
    }
  }

  /** @throws UpdateConflict where the block has been changed since it was read */
  *#take(stored: Stored<IPAMBlockSpec>, affinity: string | undefined): IpamSteps<number> {
    const { cidr } = stored.value;
    const { handle } = this.#request.owner;
    const wanted = this.missing;
    const { block, addresses } = autoAssignFrom(
      this.#collected(stored.value),
      wanted,
      this.#request.owner,
      affinity,
      this.#reservations,
    );
    if (addresses.length === 0) return 0;
    // By what is wanted, not by what there is: a handle may say too much (fact sheet calico.md §2.5).
    if (handle !== undefined) yield* incrementHandle(handle, cidr, wanted);
    try {
      yield* updateBlock(stored, block);
    } catch (error) {
      if (handle !== undefined) yield* decrementQuietly(handle, cidr, wanted);
      throw error;
    }
    const { length } = parsePrefix(cidr);
    for (const address of addresses) this.#addresses.push({ address, length });
    return addresses.length;
  }

  /** From whatever blocks there are, whosever they are. */
  *borrow(pools: readonly Pool[]): IpamSteps<void> {
    const exhausted: string[] = [];
    for (const pool of pools) {
      const order = blocksToTry(pool, this.#owner, this.#reservations, this.#now);
      while (this.missing > 0) {
        const next = yield* this.#nextBlockToBorrow(order);
        if (next === undefined) {
          exhausted.push(String(pool.cidr));
          break;
        }
        yield* this.#borrowFrom(next);
      }
    }
    if (exhausted.length > 0) {
      this.#messages.add(`No IPs available in pools: [${exhausted.join(" ")}]`);
    }
  }

  /** The next block that is there and has a free address. The real one asks for each that there could be. */
  *#nextBlockToBorrow(order: Iterator<Prefix, void>): IpamSteps<string | undefined> {
    return yield* ask((datastore) => {
      for (let next = order.next(); !next.done; next = order.next()) {
        const cidr = String(next.value);
        const block = datastore.findBlock(cidr);
        if (block !== undefined && freeCount(this.#collected(block), this.#reservations) > 0) {
          return cidr;
        }
      }
      return undefined;
    });
  }

  *#borrowFrom(cidr: string): IpamSteps<void> {
    for (let tries = 0; tries < RETRIES; tries++) {
      try {
        const block = yield* ask((datastore) => datastore.block(cidr));
        yield* this.#take(block, undefined);
        return;
      } catch (error) {
        if (!(error instanceof IpamError)) throw error;
        if (!(error instanceof UpdateConflict)) return;
      }
    }
  }
}

/** What a CNI plugin says of too few addresses; `undefined` where there are as many as were asked for (PartialFulfillmentError). */
export function fulfilmentProblem(assignments: Assignments): string | undefined {
  const { addresses, requested, family, messages, reserved } = assignments;
  if (addresses.length >= requested) return undefined;
  const parts = [
    `Assigned ${addresses.length} out of ${requested} requested IPv${family} addresses`,
    ...messages,
    ...(reserved === undefined ? [] : [`HostReservedAttr: ${reserved.handle}`]),
  ];
  return parts.join("; ");
}
