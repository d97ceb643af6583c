import { addToIp, compareIp, familyOf, formatIp, type IpAddress, type IpFamily } from "@cnilab/net";

/** Addresses one after the other, both ends included. */
export interface AddressRange {
  readonly first: IpAddress;
  readonly last: IpAddress;
}

/** Addresses of one name, of one family or of both. */
export interface AddressPool {
  readonly name: string;
  readonly ranges: readonly AddressRange[];
  /** False for a pool that only those get an address from who name it. */
  readonly autoAssign?: boolean;
}

/** Why there is no address; the sentence goes into an Event. */
export class AddressPoolError extends Error {
  override readonly name = "AddressPoolError";
}

/** The addresses that a provider has, and who holds which (MetalLB internal/allocator/allocator.go, without sharing). */
export class AddressPools {
  readonly #pools: readonly AddressPool[];
  readonly #owners = new Map<IpAddress, string>();
  readonly #held = new Map<string, readonly IpAddress[]>();

  constructor(pools: readonly AddressPool[]) {
    this.#pools = pools;
  }

  ownerOf(address: IpAddress): string | undefined {
    return this.#owners.get(address);
  }

  /** What `owner` holds; nothing is an empty list. */
  heldBy(owner: string): readonly IpAddress[] {
    return this.#held.get(owner) ?? [];
  }

  /**
   * Gives `owner` an address of each family, in place of those that it holds.
   * @param pool the only pool to look in
   * @throws AddressPoolError where there is none left; then `owner` holds what it held
   */
  allocate(owner: string, families: readonly IpFamily[], pool?: string): readonly IpAddress[] {
    const pools = this.#poolsFor(pool);
    const found = families.map((family) => this.#firstFree(pools, family, owner));
    if (found.every((address) => address !== undefined)) return this.#hold(owner, found);
    throw new AddressPoolError(
      pool === undefined ? "no available IPs" : `no available IPs in pool "${pool}"`,
    );
  }

  /** Gives `owner` these addresses. @throws AddressPoolError */
  take(owner: string, addresses: readonly IpAddress[], pool?: string): readonly IpAddress[] {
    const pools = this.#poolsFor(pool);
    for (const address of addresses) {
      if (!pools.some(({ ranges }) => ranges.some((range) => holds(range, address)))) {
        throw new AddressPoolError(`"${formatIp(address)}" is not allowed in config`);
      }
      const other = this.#owners.get(address);
      if (other !== undefined && other !== owner) {
        throw new AddressPoolError(`address "${formatIp(address)}" is already in use by ${other}`);
      }
    }
    return this.#hold(owner, addresses);
  }

  /** Notes what `owner` had before there was a provider, also outside of all pools; not what others have. */
  adopt(owner: string, addresses: readonly IpAddress[]): readonly IpAddress[] {
    return this.#hold(
      owner,
      addresses.filter((a) => (this.#owners.get(a) ?? owner) === owner),
    );
  }

  release(owner: string): void {
    for (const address of this.heldBy(owner)) this.#owners.delete(address);
    this.#held.delete(owner);
  }

  #hold(owner: string, addresses: readonly IpAddress[]): readonly IpAddress[] {
    this.release(owner);
    for (const address of addresses) this.#owners.set(address, owner);
    this.#held.set(owner, addresses);
    return addresses;
  }

  #poolsFor(name: string | undefined): readonly AddressPool[] {
    if (name === undefined) return this.#pools.filter(({ autoAssign }) => autoAssign !== false);
    const pool = this.#pools.find((p) => p.name === name);
    if (pool === undefined) throw new AddressPoolError(`unknown pool "${name}"`);
    return [pool];
  }

  #firstFree(
    pools: readonly AddressPool[],
    family: IpFamily,
    owner: string,
  ): IpAddress | undefined {
    for (const { ranges } of pools) {
      for (const { first, last } of ranges) {
        if (familyOf(first) !== family) continue;
        for (let address = first; ; address = addToIp(address, 1)) {
          if ((this.#owners.get(address) ?? owner) === owner) return address;
          if (address === last) break;
        }
      }
    }
    return undefined;
  }
}

function holds({ first, last }: AddressRange, address: IpAddress): boolean {
  if (familyOf(first) !== familyOf(address)) return false;
  return compareIp(first, address) <= 0 && compareIp(address, last) <= 0;
}
