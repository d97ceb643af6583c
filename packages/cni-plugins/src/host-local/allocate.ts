import type { CniIp } from "@cnilab/core";
import { addToIp, formatIp, type IpAddress } from "@cnilab/net";
import { failure } from "../failure.ts";
import type { AddressStore } from "./address-store.ts";
import { type Range, type RangeSet, rangeContains, rangeFor, rangeSetText } from "./range.ts";

/** Who an address is for. */
export interface Owner {
  readonly id: string;
  readonly ifName: string;
}

/**
 * One address of a range set: the one that was asked for, or the next one after that handed out last
 * (host-local backend/allocator/allocator.go Get).
 * @param index of the set, which has a cursor of its own
 * @throws CniError
 */
export function allocate(
  set: RangeSet,
  index: number,
  store: AddressStore,
  owner: Owner,
  requested: IpAddress | undefined,
): CniIp {
  if (requested !== undefined) return allocateRequested(set, index, store, owner, requested);
  for (const held of store.heldBy(owner.id, owner.ifName)) {
    if (rangeFor(set, held) !== undefined) {
      throw failure(
        `${formatIp(held)} has been allocated to ${owner.id}, duplicate allocation is not allowed`,
      );
    }
  }
  const cursor = new Cursor(set, store.lastReserved(index));
  for (;;) {
    const address = cursor.next();
    if (address === undefined) {
      throw failure(`no IP addresses available in range set: ${rangeSetText(set)}`);
    }
    if (store.reserve(owner.id, owner.ifName, address, index)) {
      return addressOf(address, cursor.range);
    }
  }
}

function allocateRequested(
  set: RangeSet,
  index: number,
  store: AddressStore,
  owner: Owner,
  requested: IpAddress,
): CniIp {
  const range = rangeFor(set, requested);
  if (range === undefined) {
    throw failure(`${formatIp(requested)} not in range set ${rangeSetText(set)}`);
  }
  if (requested === range.gateway) {
    throw failure(`requested ip ${formatIp(requested)} is subnet's gateway`);
  }
  if (!store.reserve(owner.id, owner.ifName, requested, index)) {
    throw failure(
      `requested IP address ${formatIp(requested)} is not available in range set ${rangeSetText(set)}`,
    );
  }
  return addressOf(requested, range);
}

function addressOf(address: IpAddress, range: Range): CniIp {
  return {
    address: `${formatIp(address)}/${range.subnet.length}`,
    gateway: formatIp(range.gateway),
  };
}

/** Goes through the addresses of a set once, from behind the one handed out last, without the gateways. */
class Cursor {
  readonly #set: RangeSet;
  #at: number;
  #current: IpAddress | undefined;
  #first: IpAddress | undefined;

  constructor(set: RangeSet, last: IpAddress | undefined) {
    this.#set = set;
    this.#at = last === undefined ? -1 : set.findIndex((range) => rangeContains(range, last));
    if (this.#at >= 0) this.#current = last;
    else this.#at = 0;
  }

  get range(): Range {
    return this.#set[this.#at] as Range;
  }

  next(): IpAddress | undefined {
    for (;;) {
      if (!this.#advance()) return undefined;
      if (this.#current !== this.range.gateway) return this.#current;
    }
  }

  /** False when it has come round. */
  #advance(): boolean {
    if (this.#current === undefined) {
      this.#current = this.range.start;
    } else if (this.#current === this.range.end) {
      this.#at = (this.#at + 1) % this.#set.length;
      this.#current = this.range.start;
    } else {
      this.#current = addToIp(this.#current, 1);
    }
    if (this.#current === this.#first) return false;
    this.#first ??= this.#current;
    return true;
  }
}
