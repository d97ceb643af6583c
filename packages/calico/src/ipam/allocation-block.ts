import { EPOCH_MS, type Labels, timestamp } from "@cnilab/core";
import { addToIp, formatIp, type IpAddress, type Prefix, parsePrefix } from "@cnilab/net";
import type { AllocationAttribute, IPAMBlockSpec } from "../api/v3.ts";
import {
  AddressInCooldown,
  IpamError,
  ResourceAlreadyExists,
  ResourceDoesNotExist,
  UpdateConflict,
} from "./ipam-error.ts";
import { ordinalIn, type Reservations } from "./reservations.ts";

/** The handle of addresses that Windows needs for itself. */
export const WINDOWS_RESERVED_HANDLE = "windows-reserved-ipam-handle";

/** Addresses at the ends of each block that a host needs for itself. */
export interface HostReserved {
  readonly startOfBlock: number;
  readonly endOfBlock: number;
  readonly handle: string;
  readonly note: string;
}

/** Windows: the network's address, its gateway, the address of the host's endpoint, the broadcast address (`cni-plugin/pkg/ipamplugin`). */
export const WINDOWS_RESERVED: HostReserved = {
  startOfBlock: 3,
  endOfBlock: 1,
  handle: WINDOWS_RESERVED_HANDLE,
  note: "windows host rsvd",
};

/** Who is to have addresses. */
export interface AddressOwner {
  readonly handle?: string;
  readonly attributes: Labels;
}

/** Addresses to give back, and what has to be true for it. */
export interface ReleaseOptions {
  readonly address: IpAddress;
  readonly handle?: string;
  readonly sequenceNumber?: number;
}

// Functions over blocks: what they are given stays as it is, and what they return is another block (libcalico-go/lib/ipam/ipam_block.go).

/** A block that is new, with nothing handed out but what the host needs. @param nowMs the virtual clock's */
export function newBlock(
  cidr: Prefix,
  affinity: string,
  nowMs: number,
  reserved: HostReserved | undefined,
): IPAMBlockSpec {
  const size = Number(cidr.size);
  const allocations: (number | null)[] = new Array(size).fill(null);
  let unallocated = Array.from({ length: size }, (_, ordinal) => ordinal);
  const attributes: AllocationAttribute[] = [];
  if (reserved !== undefined) {
    const end = size - reserved.endOfBlock;
    unallocated = unallocated.slice(reserved.startOfBlock, end);
    allocations.fill(0, 0, reserved.startOfBlock);
    allocations.fill(0, end);
    attributes.push({ handle_id: reserved.handle, secondary: { note: reserved.note } });
  }
  return {
    cidr: String(cidr),
    affinity,
    affinityClaimTime: timestamp(nowMs),
    allocations,
    unallocated,
    attributes,
    sequenceNumber: firstSequenceNumber(nowMs),
    sequenceNumberForAllocation: {},
    deleted: false,
  };
}

/**
 * A block that is made anew begins with another number than it had before. The real one takes the nanoseconds of the day; microseconds are
 * as much as a number of JavaScript holds exactly.
 */
function firstSequenceNumber(nowMs: number): number {
  return Math.floor((EPOCH_MS + nowMs) * 1000);
}

export function addressAt(block: IPAMBlockSpec, ordinal: number): IpAddress {
  return addToIp(parsePrefix(block.cidr).address, ordinal);
}

/** @throws IpamError for an address of another block */
export function ordinalOf(block: IPAMBlockSpec, address: IpAddress): number {
  const cidr = parsePrefix(block.cidr);
  if (!cidr.contains(address)) {
    throw new IpamError(`IP ${formatIp(address)} not in block ${block.cidr}`);
  }
  return ordinalIn(cidr, address);
}

/** The attributes that tell who has an address, `undefined` where it is free. */
export function attributeAt(
  block: IPAMBlockSpec,
  ordinal: number,
): AllocationAttribute | undefined {
  const index = block.allocations[ordinal];
  return index === null || index === undefined ? undefined : block.attributes[index];
}

/** Whether nothing is handed out but what Windows needs. */
export function isEmpty(block: IPAMBlockSpec): boolean {
  return block.allocations.every((index) => {
    if (index === null) return true;
    return block.attributes[index]?.handle_id?.toLowerCase() === WINDOWS_RESERVED_HANDLE;
  });
}

/** Addresses that could be handed out. */
export function freeCount(block: IPAMBlockSpec, reservations: Reservations): number {
  const cidr = parsePrefix(block.cidr);
  if (!reservations.overlaps(cidr)) return block.unallocated.length;
  const { address } = cidr;
  return block.unallocated.filter((ordinal) => !reservations.contains(addToIp(address, ordinal)))
    .length;
}

export interface Assigned {
  readonly block: IPAMBlockSpec;
  readonly addresses: readonly IpAddress[];
}

/**
 * Hands out up to `count` free addresses, those first that have been free the longest.
 * @param affinity what the block must have; `undefined` where any will do
 * @throws IpamError where the block is not the host's
 */
export function autoAssignFrom(
  block: IPAMBlockSpec,
  count: number,
  owner: AddressOwner,
  affinity: string | undefined,
  reservations: Reservations,
): Assigned {
  if (affinity !== undefined && block.affinity !== undefined && block.affinity !== affinity) {
    const [type, ...host] = affinity.split(":");
    throw new IpamError(
      `Block affinity (${block.affinity}) does not match provided (${host.join(":")}:${type})`,
    );
  }
  requireAffinity(block, affinity);
  const first = parsePrefix(block.cidr).address;
  const ordinals: number[] = [];
  const unallocated: number[] = [];
  for (const ordinal of block.unallocated) {
    const take = ordinals.length < count && !reservations.contains(addToIp(first, ordinal));
    (take ? ordinals : unallocated).push(ordinal);
  }
  if (ordinals.length === 0) return { block, addresses: [] };
  return {
    block: { ...allocate(block, ordinals, owner), unallocated },
    addresses: ordinals.map((ordinal) => addToIp(first, ordinal)),
  };
}

/** Hands out one address. @throws IpamError, ResourceAlreadyExists */
export function assignIn(
  block: IPAMBlockSpec,
  address: IpAddress,
  owner: AddressOwner,
  affinity: string | undefined,
): IPAMBlockSpec {
  if (affinity !== undefined && block.affinity !== undefined && block.affinity !== affinity) {
    throw new IpamError("Block host affinity does not match");
  }
  requireAffinity(block, affinity);
  const ordinal = ordinalOf(block, address);
  if (block.allocations[ordinal] !== null) {
    throw new ResourceAlreadyExists(formatIp(address), "Address already assigned in block");
  }
  const unallocated = block.unallocated.filter((free) => free !== ordinal);
  return { ...allocate(block, [ordinal], owner), unallocated };
}

function requireAffinity(block: IPAMBlockSpec, affinity: string | undefined): void {
  if (affinity === undefined || block.affinity !== undefined) return;
  throw new IpamError(`Attempt to assign from block ${block.cidr} with no affinity`);
}

function allocate(
  block: IPAMBlockSpec,
  ordinals: readonly number[],
  owner: AddressOwner,
): IPAMBlockSpec {
  const attribute: AllocationAttribute = {
    ...(owner.handle !== undefined && { handle_id: owner.handle }),
    secondary: owner.attributes,
  };
  const known = block.attributes.findIndex((other) => sameAttribute(other, attribute));
  const attributes = known < 0 ? [...block.attributes, attribute] : block.attributes;
  const index = known < 0 ? block.attributes.length : known;
  const allocations = block.allocations.slice();
  const sequenceNumberForAllocation = { ...block.sequenceNumberForAllocation };
  for (const ordinal of ordinals) {
    allocations[ordinal] = index;
    sequenceNumberForAllocation[ordinal] = block.sequenceNumber ?? 0;
  }
  return { ...block, allocations, attributes, sequenceNumberForAllocation };
}

function sameAttribute(x: AllocationAttribute, y: AllocationAttribute): boolean {
  if (x.handle_id !== y.handle_id || x.releasedAt !== y.releasedAt) return false;
  if (x.alternateOwnerAttrs !== undefined) return false;
  const [some, others] = [x.secondary ?? {}, y.secondary ?? {}];
  const keys = Object.keys(some);
  return (
    keys.length === Object.keys(others).length && keys.every((key) => some[key] === others[key])
  );
}

/** Handles that were malformed when blocks were migrated from host-local (cni-plugin issue 821). */
export function sanitizeHandle(handle: string): string {
  const end = handle.indexOf("\r");
  return end < 0 ? handle : handle.slice(0, end);
}

/** The number that an address was handed out with. */
export function sequenceNumberOf(block: IPAMBlockSpec, ordinal: number): number {
  return block.sequenceNumberForAllocation?.[ordinal] ?? 0;
}

export interface Released {
  readonly block: IPAMBlockSpec;
  /** Addresses that were free already. */
  readonly notAllocated: readonly IpAddress[];
  /** Number of addresses that were given back, by handle. */
  readonly countByHandle: ReadonlyMap<string, number>;
}

/** Gives back addresses. @throws UpdateConflict where one of them is not what the caller took it for; then nothing is given back */
export function releaseFrom(
  block: IPAMBlockSpec,
  options: readonly ReleaseOptions[],
  nowMs: number,
  cooldownSeconds: number,
): Released {
  const notAllocated: IpAddress[] = [];
  const countByHandle = new Map<string, number>();
  const ordinals = new Set<number>();
  for (const { address, handle, sequenceNumber } of options) {
    const ordinal = ordinalOf(block, address);
    if (ordinals.has(ordinal)) continue;
    if (sequenceNumber !== undefined && sequenceNumber !== sequenceNumberOf(block, ordinal)) {
      throw new UpdateConflict(formatIp(address));
    }
    const attribute = attributeAt(block, ordinal);
    if (attribute === undefined || attribute.releasedAt !== undefined) {
      notAllocated.push(address);
      continue;
    }
    const stored = sanitizeHandle(attribute.handle_id ?? "");
    if (handle !== undefined && handle !== "" && sanitizeHandle(handle) !== stored) {
      throw new UpdateConflict(formatIp(address));
    }
    ordinals.add(ordinal);
    if (stored !== "") countByHandle.set(stored, (countByHandle.get(stored) ?? 0) + 1);
  }
  if (ordinals.size === 0) return { block, notAllocated, countByHandle };
  const sequence = { ...block.sequenceNumberForAllocation };
  for (const ordinal of ordinals) sequence[ordinal] = block.sequenceNumber ?? 0;
  const cooling = coolDown({ ...block, sequenceNumberForAllocation: sequence }, ordinals, nowMs);
  return { block: garbageCollect(cooling, nowMs, cooldownSeconds), notAllocated, countByHandle };
}

/** Gives back all that a handle has. @returns how many addresses that were, and the block */
export function releaseHandleFrom(
  block: IPAMBlockSpec,
  handle: string,
  nowMs: number,
  cooldownSeconds: number,
): { readonly block: IPAMBlockSpec; readonly count: number } {
  const ordinals = new Set(ordinalsOfHandle(block, handle));
  if (ordinals.size === 0) return { block, count: 0 };
  const cooling = coolDown(block, ordinals, nowMs);
  return { block: garbageCollect(cooling, nowMs, cooldownSeconds), count: ordinals.size };
}

/** Where a handle's addresses are. */
export function ordinalsOfHandle(block: IPAMBlockSpec, handle: string): number[] {
  const ordinals: number[] = [];
  block.allocations.forEach((index, ordinal) => {
    if (index === null) return;
    const { handle_id } = block.attributes[index] ?? {};
    if (handle_id !== undefined && sanitizeHandle(handle_id) === handle) ordinals.push(ordinal);
  });
  return ordinals;
}

function coolDown(
  block: IPAMBlockSpec,
  ordinals: ReadonlySet<number>,
  nowMs: number,
): IPAMBlockSpec {
  const index = block.attributes.length;
  return {
    ...block,
    allocations: block.allocations.map((old, ordinal) => (ordinals.has(ordinal) ? index : old)),
    attributes: [...block.attributes, { releasedAt: timestamp(nowMs) }],
  };
}

/**
 * Frees the addresses that have cooled down long enough, in order, behind those that are free; forgets attributes that nobody has. A block
 * that nothing changes in is returned as it is.
 *
 * The real one asks for "released before now", and between the two at least some nanoseconds pass. Virtual time may stand still in between,
 * hence "not after now" here.
 */
export function garbageCollect(
  block: IPAMBlockSpec,
  nowMs: number,
  cooldownSeconds: number,
): IPAMBlockSpec {
  const { attributes, allocations } = block;
  const before = EPOCH_MS + nowMs - cooldownSeconds * 1000;
  const isCold = ({ releasedAt }: AllocationAttribute) =>
    releasedAt !== undefined && (cooldownSeconds < 0 || Date.parse(releasedAt) <= before);
  // Every operation comes by here, and mostly there is nothing to do.
  const used = new Uint8Array(attributes.length);
  for (const index of allocations) if (index !== null) used[index] = 1;
  let kept = 0;
  for (let index = 0; index < used.length; index++) {
    if (used[index] === 1 && isCold(attributes[index] as AllocationAttribute)) used[index] = 0;
    kept += used[index] as number;
  }
  return kept === attributes.length ? block : keeping(block, used);
}

/** A block with some of its attributes: whoever had the others is free. */
function keeping(block: IPAMBlockSpec, kept: Uint8Array): IPAMBlockSpec {
  const unallocated = block.unallocated.slice();
  const sequenceNumberForAllocation = { ...block.sequenceNumberForAllocation };
  const places: number[] = [];
  let count = 0;
  for (const is of kept) places.push(is === 1 ? count++ : -1);
  const allocations = block.allocations.map((index, ordinal) => {
    if (index === null) return null;
    const place = places[index] ?? -1;
    if (place >= 0) return place;
    unallocated.push(ordinal);
    delete sequenceNumberForAllocation[ordinal];
    return null;
  });
  const attributes = block.attributes.filter((_, index) => kept[index] === 1);
  return { ...block, allocations, unallocated, attributes, sequenceNumberForAllocation };
}

/** Who has an address. @throws ResourceDoesNotExist, AddressInCooldown */
export function assignmentOf(block: IPAMBlockSpec, address: IpAddress): AllocationAttribute {
  const attribute = attributeAt(block, ordinalOf(block, address));
  if (attribute === undefined) {
    throw new ResourceDoesNotExist(formatIp(address), "IP is unassigned");
  }
  if (attribute.releasedAt !== undefined) throw new AddressInCooldown(formatIp(address));
  return attribute.handle_id === undefined
    ? attribute
    : { ...attribute, handle_id: sanitizeHandle(attribute.handle_id) };
}
