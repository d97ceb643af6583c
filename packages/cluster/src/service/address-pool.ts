import { addToIp, formatIp, type IpAddress, type Prefix } from "@cnilab/net";
import { ApiError } from "../api/api-error.ts";
import { fnv32a } from "../api/name-suffix.ts";

/** Offsets inside a range that still count one by one; larger ranges are used up to here. */
const MOST_ADDRESSES = 2 ** 31;

/**
 * The addresses of one Service range. As the API server does, the low band is left for addresses that
 * people choose, and the rest is given out at random (kube-apiserver pkg/registry/core/service/ipallocator;
 * KEP-3070). Here the random choice follows from the Service's name and how often it was made, so that
 * the order of creation does not matter.
 */
export class AddressPool {
  readonly range: Prefix;
  readonly #seed: number;
  /** Who has an address. */
  readonly #owners: Map<IpAddress, string>;
  readonly #size: number;

  constructor(range: Prefix, seed: number, owners: ReadonlyMap<IpAddress, string> = new Map()) {
    this.range = range;
    this.#seed = seed;
    this.#owners = new Map(owners);
    const size = range.size > BigInt(MOST_ADDRESSES) ? MOST_ADDRESSES : Number(range.size);
    // Neither the network's own address nor IPv4's broadcast address is given out.
    this.#size = Math.max(0, size - (range.family === 4 ? 2 : 1));
  }

  /** A copy that can be changed without changing this one. */
  clone(): AddressPool {
    return new AddressPool(this.range, this.#seed, this.#owners);
  }

  /** The first address, which the `kubernetes` Service has. */
  get first(): IpAddress {
    return addToIp(this.range.address, 1);
  }

  ownerOf(address: IpAddress): string | undefined {
    return this.#owners.get(address);
  }

  /** Takes a given address. @throws ApiError Invalid */
  take(address: IpAddress, owner: string): void {
    if (!this.range.contains(address)) {
      throw new ApiError(
        "Invalid",
        `spec.clusterIPs: Invalid value: ["${formatIp(address)}"]: failed to allocate IP ${formatIp(address)}: the provided IP (${formatIp(address)}) is not in the valid range. The range of valid IPs is ${this.range}`,
      );
    }
    const other = this.#owners.get(address);
    if (other !== undefined && other !== owner) {
      throw new ApiError(
        "Invalid",
        `spec.clusterIPs: Invalid value: ["${formatIp(address)}"]: failed to allocate IP ${formatIp(address)}: provided IP is already allocated (Service ${other} has it)`,
      );
    }
    this.#owners.set(address, owner);
  }

  /**
   * Takes a free address.
   * @param incarnation how many Services of this name there were before
   * @throws ApiError Invalid when the range is full
   */
  takeAny(owner: string, incarnation: number, avoid: IpAddress | undefined): IpAddress {
    const free = this.#anyFree(owner, incarnation, avoid);
    if (free === undefined) {
      throw new ApiError(
        "Invalid",
        `failed to allocate a serviceIP: range is full (${this.range}, ${this.#owners.size} addresses)`,
      );
    }
    this.#owners.set(free, owner);
    return free;
  }

  #anyFree(
    owner: string,
    incarnation: number,
    avoid: IpAddress | undefined,
  ): IpAddress | undefined {
    if (this.#owners.size >= this.#size) return undefined;
    const reserved = Math.min(this.#reserved, this.#size);
    const dynamic = this.#size - reserved;
    const hash = fnv32a(`${owner}#${incarnation}`, this.#seed ^ 0x811c9dc5);
    for (let i = 0; i < dynamic; i++) {
      const address = addToIp(this.range.address, 1 + reserved + ((hash + i) % dynamic));
      if (!this.#owners.has(address) && address !== avoid) return address;
    }
    for (let i = 0; i < reserved; i++) {
      const address = addToIp(this.range.address, 1 + i);
      if (!this.#owners.has(address)) return address;
    }
    return avoid !== undefined && !this.#owners.has(avoid) ? avoid : undefined;
  }

  /** Length of the low band: a sixteenth of the range, 16 to 256 addresses (`calculateRangeOffset`). */
  get #reserved(): number {
    const { size } = this.range;
    return size <= 16n ? 0 : Math.min(Math.max(Number(size / 16n), 16), 256);
  }

  release(address: IpAddress, owner: string): void {
    if (this.#owners.get(address) === owner) this.#owners.delete(address);
  }
}
