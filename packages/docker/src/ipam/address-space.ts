import { type IpFamily, type Ipv4Address, Prefix, parsePrefix } from "@cnilab/net";
import { DockerError } from "../docker-error.ts";

/** `default-address-pools`: a range that is cut into subnets of one size. */
export interface NetworkToSplit {
  readonly base: Prefix;
  readonly size: number;
}

/** What networks of one host are cut from, in this order (libnetwork ipamutils). */
export const LOCAL_SCOPE_DEFAULT_NETWORKS: readonly NetworkToSplit[] = [
  { base: parsePrefix("172.17.0.0/16"), size: 16 },
  { base: parsePrefix("172.18.0.0/16"), size: 16 },
  { base: parsePrefix("172.19.0.0/16"), size: 16 },
  { base: parsePrefix("172.20.0.0/14"), size: 16 },
  { base: parsePrefix("172.24.0.0/14"), size: 16 },
  { base: parsePrefix("172.28.0.0/14"), size: 16 },
  { base: parsePrefix("192.168.0.0/16"), size: 20 },
];

/** Subnets of a daemon's networks (libnetwork ipams/defaultipam/address_space.go). */
export class AddressSpace {
  readonly #predefined: readonly NetworkToSplit[];
  /** Sorted. */
  readonly #allocated: Prefix[] = [];

  /** Pools inside another are left out, whoever came first. */
  constructor(predefined: readonly NetworkToSplit[] = LOCAL_SCOPE_DEFAULT_NETWORKS) {
    const kept: NetworkToSplit[] = [];
    for (const pool of [...predefined].sort((x, y) => Prefix.compare(x.base, y.base))) {
      if (kept.at(-1)?.base.overlaps(pool.base) !== true) kept.push(pool);
    }
    this.#predefined = kept;
  }

  /** `--subnet`. @throws DockerError where it overlaps with that of another network */
  allocate(subnet: Prefix): Prefix {
    const other = this.#allocated.find((allocated) => allocated.overlaps(subnet));
    if (other !== undefined) {
      throw new DockerError(
        `invalid pool request: Pool overlaps with other one on this address space: ${subnet} and ${other}`,
      );
    }
    return this.#add(subnet);
  }

  /**
   * The first predefined subnet that is free.
   * @param reserved what the host uses itself
   * @throws DockerError where all are taken
   */
  allocatePredefined(reserved: readonly Prefix[], family: IpFamily = 4): Prefix {
    const taken = [...this.#allocated, ...reserved].sort(Prefix.compare);
    for (const { base, size } of this.#predefined) {
      if (base.family !== family) continue;
      if (family === 6) {
        const free = firstFree6({ base, size }, taken);
        if (free === undefined) continue;
        return this.#add(free);
      }
      const step = 2 ** (32 - size);
      let start = base.address as Ipv4Address;
      for (const prefix of taken) {
        if (!prefix.overlaps(base)) continue;
        if ((prefix.address as Ipv4Address) >= start + step) break;
        const after = (Math.floor((prefix.last as Ipv4Address) / step) + 1) * step;
        start = Math.max(start, after);
      }
      if (start <= (base.last as Ipv4Address)) return this.#add(new Prefix(start, size));
    }
    throw new DockerError(
      "all predefined address pools have been fully subnetted: give the network a subnet of its own (--subnet)",
    );
  }

  release(subnet: Prefix): void {
    const at = this.#allocated.findIndex((allocated) => allocated.equals(subnet));
    if (at >= 0) this.#allocated.splice(at, 1);
  }

  #add(subnet: Prefix): Prefix {
    this.#allocated.push(subnet);
    this.#allocated.sort(Prefix.compare);
    return subnet;
  }
}

/** Hosts have few networks, each of which takes away a few subnets at most, or all. */
function firstFree6({ base, size }: NetworkToSplit, taken: readonly Prefix[]): Prefix | undefined {
  const near = taken.filter((prefix) => prefix.overlaps(base));
  if (near.some((prefix) => prefix.covers(base))) return undefined;
  const count = 1n << BigInt(size - base.length);
  for (let i = 0n; i < count; i++) {
    const subnet = base.subnet(i, size);
    if (!near.some((prefix) => prefix.overlaps(subnet))) return subnet;
  }
  return undefined;
}
