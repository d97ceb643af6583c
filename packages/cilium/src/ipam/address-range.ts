import type { Random } from "@cnilab/core";
import { addToIp, type IpAddress, ipv6ToBigInt, type Prefix } from "@cnilab/net";

/** Numbers that a range has at most: IPv6 ones have more addresses than anybody counts (pkg/ipam/service/ipallocator RangeSize). */
const MOST_OF_IPV6 = 2 ** 16;

/**
 * Addresses of a range, free or taken, but for its first and last, any of them with equal chance (pkg/ipam/service/ipallocator,
 * `randomScanStrategy`).
 */
export class AddressRange {
  readonly prefix: Prefix;
  readonly #random: Random;
  /** Numbers of those taken; 0 is the second address. */
  readonly #taken = new Set<number>();
  readonly #size: number;

  constructor(prefix: Prefix, random: Random) {
    this.prefix = prefix;
    this.#random = random;
    this.#size = AddressRange.capacityOf(prefix);
  }

  /** Addresses that a range gives: without its first and last, unless it has no others. */
  static capacityOf({ size, family }: Prefix): number {
    const counted = family === 6 && size > BigInt(MOST_OF_IPV6) ? MOST_OF_IPV6 : Number(size);
    return counted > 2 ? counted - 2 : counted;
  }

  get #first(): IpAddress {
    return this.prefix.size > 2n ? addToIp(this.prefix.address, 1) : this.prefix.address;
  }

  get used(): number {
    return this.#taken.size;
  }

  get free(): number {
    return this.#size - this.#taken.size;
  }

  /** `undefined` where the range is full. */
  allocateNext(): IpAddress | undefined {
    if (this.free <= 0) return undefined;
    let number = this.#random.below(this.#size);
    while (this.#taken.has(number)) number = (number + 1) % this.#size;
    this.#taken.add(number);
    return addToIp(this.#first, number);
  }

  /** Why it cannot be had, if so. */
  allocate(address: IpAddress): string | undefined {
    const number = this.#numberOf(address);
    if (number === undefined)
      return `provided IP is not in the valid range. The range of valid IPs is ${this.prefix}`;
    if (this.#taken.has(number)) return "provided IP is already allocated";
    this.#taken.add(number);
    return undefined;
  }

  release(address: IpAddress): void {
    const number = this.#numberOf(address);
    if (number !== undefined) this.#taken.delete(number);
  }

  #numberOf(address: IpAddress): number | undefined {
    if (!this.prefix.contains(address)) return undefined;
    const first = this.#first;
    const number =
      typeof address === "number"
        ? address - (first as number)
        : Number(ipv6ToBigInt(address) - ipv6ToBigInt(first as typeof address));
    return number >= 0 && number < this.#size ? number : undefined;
  }
}
