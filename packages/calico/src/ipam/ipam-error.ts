/** What keeps IPAM from doing what it was asked for; messages are those of libcalico-go. */
export class IpamError extends Error {
  override readonly name: string = "IpamError";
}

/** An object that is asked for is not there (`libcalico-go/lib/errors/errors.go` ErrorResourceDoesNotExist). */
export class ResourceDoesNotExist extends IpamError {
  constructor(identifier: string, cause = "<nil>") {
    super(`resource does not exist: ${identifier} with error: ${cause}`);
  }
}

/** ErrorResourceAlreadyExists */
export class ResourceAlreadyExists extends IpamError {
  constructor(identifier: string, cause = "<nil>") {
    super(`resource already exists: ${identifier} with error: ${cause}`);
  }
}

/** ErrorResourceUpdateConflict: somebody else changed the object since it was read. */
export class UpdateConflict extends IpamError {
  constructor(identifier: string) {
    super(`update conflict: ${identifier}`);
  }
}

/** ErrorIPInCooldown: an address that was given back and is not free again. */
export class AddressInCooldown extends IpamError {
  constructor(address: string) {
    super(`address ${address} is in cooldown`);
  }
}

/** Another host has the block (`libcalico-go/lib/ipam/ipam_errors.go` errBlockClaimConflict). */
export class BlockClaimConflict extends IpamError {
  constructor(cidr: string, affinity: string | undefined) {
    super(`${cidr} already claimed${affinity === undefined ? "" : ` by ${affinity}`}`);
  }
}

/** errBlockNotEmpty */
export class BlockNotEmpty extends IpamError {
  constructor(cidr: string) {
    super(`block '${cidr}' is not empty`);
  }
}

/** An affinity is unconfirmed, and its block somebody else's (errStaleAffinity). */
export class StaleAffinity extends IpamError {}

/** No pool has a block left to claim (noFreeBlocksError). */
export class NoFreeBlocks extends IpamError {
  constructor() {
    super("No Free Blocks");
  }
}

/** The host has all the blocks that it may have (ErrBlockLimit). */
export class BlockLimitReached extends IpamError {
  constructor() {
    super("cannot allocate new block due to per host block limit");
  }
}
