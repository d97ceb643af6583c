import {
  addressBits,
  familyOf,
  type IpAddress,
  ipv6ToBigInt,
  Prefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";

/** Addresses that IPReservations keep from being handed out (libcalico-go/lib/ipam/addr_filter.go, reserved.go). Immutable. */
export class Reservations {
  static readonly NONE: Reservations = new Reservations([]);
  readonly #prefixes: readonly Prefix[];

  private constructor(prefixes: readonly Prefix[]) {
    this.#prefixes = prefixes;
  }

  /** What is neither an address nor a prefix is passed over. */
  static of(cidrs: readonly string[]): Reservations {
    if (cidrs.length === 0) return Reservations.NONE;
    const prefixes = cidrs.map((text) => prefixOf(text.trim())).filter((p) => p !== undefined);
    return new Reservations(prefixes);
  }

  contains(address: IpAddress): boolean {
    return this.#prefixes.some((prefix) => prefix.contains(address));
  }

  overlaps(block: Prefix): boolean {
    return this.#prefixes.some((prefix) => prefix.overlaps(block));
  }

  /** What is reserved around a block, if all of it is. */
  around(block: Prefix): Prefix | undefined {
    const covering = this.#prefixes.find((prefix) => prefix.covers(block));
    return covering ?? (this.covers(block) ? block : undefined);
  }

  /** Whether every address of a block is reserved, by one reservation or by several together. */
  covers(block: Prefix): boolean {
    return this.overlaps(block) && this.countIn(block) === block.size;
  }

  /** Number of reserved addresses within a prefix. */
  countIn(space: Prefix): bigint {
    return coveredIn(space, this.#prefixes);
  }

  /** The reserved prefixes, and others besides. */
  and(prefixes: readonly Prefix[]): Reservations {
    return new Reservations([...this.#prefixes, ...prefixes]);
  }
}

function prefixOf(text: string): Prefix | undefined {
  const address = tryParseIp(text);
  return address === undefined ? tryParsePrefix(text) : Prefix.host(address);
}

/** Prefixes nest or are apart: in order, each is within the last one that was counted, or beyond it. */
function coveredIn(space: Prefix, prefixes: readonly Prefix[]): bigint {
  let count = 0n;
  let last: Prefix | undefined;
  for (const prefix of prefixes.toSorted(Prefix.compare)) {
    if (prefix.covers(space)) return space.size;
    if (!space.covers(prefix) || last?.covers(prefix)) continue;
    last = prefix;
    count += prefix.size;
  }
  return count;
}

/** How far an address is from a prefix's first. */
export function ordinalIn(prefix: Prefix, address: IpAddress): number {
  if (typeof address === "number") return address - (prefix.address as number);
  if (familyOf(prefix.address) === 4) return -1;
  return Number(ipv6ToBigInt(address) - ipv6ToBigInt(prefix.address as never));
}

/** The block of a size that an address is in. */
export function blockOfAddress(address: IpAddress, blockSize: number): Prefix {
  return new Prefix(address, Math.min(blockSize, addressBits(familyOf(address))));
}
