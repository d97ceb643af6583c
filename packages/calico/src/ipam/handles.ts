import type { IPAMHandleSpec } from "../api/v3.ts";
import { IpamError, ResourceDoesNotExist, UpdateConflict } from "./ipam-error.ts";
import { RETRIES } from "./ipam-settings.ts";
import { ask, type IpamSteps } from "./steps.ts";

// A handle finds what somebody has without a search through all blocks. It is counted up before a block is written and down after, so that
// it may say too much and never too little (libcalico-go/lib/ipam/ipam.go incrementHandle, decrementHandle).

const TOO_MANY = "Max retries hit - excessive concurrent IPAM requests";

export function* incrementHandle(id: string, cidr: string, count: number): IpamSteps<void> {
  for (let tries = 0; tries < RETRIES; tries++) {
    const old = yield* ask((datastore) => datastore.findHandle(id));
    const block = { ...old?.value.block };
    block[cidr] = (block[cidr] ?? 0) + count;
    try {
      if (old === undefined) {
        const handle: IPAMHandleSpec = { handleID: id, block, deleted: false };
        yield* ask((datastore) => datastore.createHandle(handle));
      } else {
        yield* ask((datastore) => datastore.updateHandle(old, { ...old.value, block }));
      }
      return;
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
    }
  }
  throw new IpamError(TOO_MANY);
}

/** @throws IpamError where the handle has less of the block */
export function* decrementHandle(id: string, cidr: string, count: number): IpamSteps<void> {
  for (let tries = 0; tries < RETRIES; tries++) {
    const old = yield* ask((datastore) => datastore.handle(id));
    const { [cidr]: current, ...others } = old.value.block;
    if (current === undefined) {
      throw new IpamError(
        `Tried to decrement block ${cidr} by ${count} but it isn't linked to handle ${id}`,
      );
    }
    if (current < count) {
      throw new IpamError(
        `Tried to decrement block ${cidr} by ${count} but it only has ${current} addresses on handle ${id}`,
      );
    }
    const block = current === count ? others : { ...others, [cidr]: current - count };
    try {
      if (Object.keys(block).length === 0) yield* ask((datastore) => datastore.deleteHandle(old));
      else yield* ask((datastore) => datastore.updateHandle(old, { ...old.value, block }));
      return;
    } catch (error) {
      if (error instanceof ResourceDoesNotExist && Object.keys(block).length === 0) return;
      if (!(error instanceof UpdateConflict)) throw error;
    }
  }
  throw new IpamError(TOO_MANY);
}

/** Counts down where that is no reason to fail: the addresses are given back already. */
export function* decrementQuietly(id: string, cidr: string, count: number): IpamSteps<void> {
  try {
    yield* decrementHandle(id, cidr, count);
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
  }
}
