import { formatIp, type IpAddress } from "@cnilab/net";
import type { IPAMBlockSpec, IPPoolAllowedUse } from "../api/v3.ts";
import { affinityText, claimBlock, pendingAffinity, updateBlock } from "./affinities.ts";
import {
  type AddressOwner,
  assignIn,
  garbageCollect,
  type HostReserved,
} from "./allocation-block.ts";
import { enabledPools } from "./choose-pools.ts";
import type { AffinityOwner, Stored } from "./datastore.ts";
import { decrementQuietly, incrementHandle } from "./handles.ts";
import {
  BlockClaimConflict,
  IpamError,
  ResourceDoesNotExist,
  UpdateConflict,
} from "./ipam-error.ts";
import { ipamSettings, type Now, RETRIES } from "./ipam-settings.ts";
import { poolOfAddress } from "./pool.ts";
import { blockOfAddress } from "./reservations.ts";
import { ask, type IpamSteps } from "./steps.ts";

/** One certain address that somebody wants. */
export interface AssignIpRequest {
  readonly address: IpAddress;
  readonly host: string;
  readonly owner: AddressOwner;
  /** Absent: any pool will do. */
  readonly use?: IPPoolAllowedUse;
  readonly reserved?: HostReserved;
  readonly os?: "linux" | "windows";
}

/**
 * Hands out one certain address, reserved or not. Its block becomes the host's where it is nobody's yet; from another host's block it is
 * taken as well, unless affinity is strict (libcalico-go/lib/ipam/ipam.go AssignIP).
 */
export function* assignIp(request: AssignIpRequest, now: Now): IpamSteps<void> {
  const { address, host, owner, use } = request;
  const affinityOwner: AffinityOwner = { type: use === "LoadBalancer" ? "virtual" : "host", host };
  const pools = yield* enabledPools(typeof address === "number" ? 4 : 6);
  const pool = poolOfAddress(pools, address);
  if (pool === undefined) {
    throw new IpamError("The provided IP address is not in a configured pool\n");
  }
  if (use !== undefined && !pool.allowedUses.includes(use)) {
    throw new IpamError(
      `IP address ${formatIp(address)} is in IP pool "${pool.name}", which is not allowed for use "${use}" (allowedUses: [${pool.allowedUses.join(" ")}])`,
    );
  }
  const settings = yield* ipamSettings(request.os);
  const cidr = String(blockOfAddress(address, pool.blockSize));
  const affinity = settings.strictAffinity ? affinityText(affinityOwner) : undefined;
  for (let tries = 0; tries < RETRIES; tries++) {
    const stored = yield* blockFor(cidr, affinityOwner, request, now);
    if (stored === undefined) continue;
    const there = garbageCollect(stored.value, now(), settings.ipCooldownSeconds);
    const block = assignIn(there, address, owner, affinity);
    if (owner.handle !== undefined) yield* incrementHandle(owner.handle, cidr, 1);
    try {
      yield* updateBlock(stored, block);
      return;
    } catch (error) {
      // Without counting the handle down: it will say too much, as the real one's does.
      if (error instanceof UpdateConflict) continue;
      if (owner.handle !== undefined) yield* decrementQuietly(owner.handle, cidr, 1);
      throw error;
    }
  }
  throw new IpamError("Max retries hit - excessive concurrent IPAM requests");
}

/** The block of an address, made where it is not there; `undefined` where somebody else is about it. */
function* blockFor(
  cidr: string,
  owner: AffinityOwner,
  { reserved }: AssignIpRequest,
  now: Now,
): IpamSteps<Stored<IPAMBlockSpec> | undefined> {
  try {
    return yield* ask((datastore) => datastore.block(cidr));
  } catch (error) {
    if (!(error instanceof ResourceDoesNotExist)) throw error;
  }
  try {
    const affinity = yield* pendingAffinity(owner, cidr);
    return yield* claimBlock(affinity, reserved, now);
  } catch (error) {
    if (error instanceof UpdateConflict || error instanceof BlockClaimConflict) return undefined;
    throw error;
  }
}
