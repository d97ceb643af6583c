import type { Random } from "@cnilab/core";
import { familyOf, formatIp, type IpAddress, type IpFamily, type Prefix } from "@cnilab/net";
import { AddressRange } from "./address-range.ts";
import { type AddressSource, DEFAULT_POOL, type GivenAddress } from "./address-source.ts";

/** How a node's ranges are found. */
export interface RangeFinder {
  /** Tells what there is, and each change. @returns what ends that */
  watch(found: (ranges: readonly Prefix[]) => void): () => void;
  /** What a node without ranges waits for. */
  readonly waitsFor: () => string;
}

/**
 * One range of each family (pkg/ipam/hostscope.go): with cluster-pool what the operator writes to the CiliumNode, with kubernetes what the
 * Node has. The ranges of a node never change.
 */
export class PodCidrSource implements AddressSource {
  readonly #families: readonly IpFamily[];
  readonly #finder: RangeFinder;
  readonly #random: Random;
  readonly #ranges = new Map<IpFamily, AddressRange>();
  #end: (() => void) | undefined;

  constructor(families: readonly IpFamily[], finder: RangeFinder, random: Random) {
    this.#families = families;
    this.#finder = finder;
    this.#random = random;
  }

  start(changed: () => void): void {
    this.#end = this.#finder.watch((ranges) => {
      for (const family of this.#families) {
        const prefix = ranges.find((r) => r.family === family);
        if (prefix === undefined || this.#ranges.has(family)) continue;
        this.#ranges.set(family, new AddressRange(prefix, this.#random));
      }
      changed();
    });
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
  }

  get isReady(): boolean {
    return this.#families.every((family) => this.#ranges.has(family));
  }

  get problem(): string | undefined {
    return this.isReady ? undefined : this.#finder.waitsFor();
  }

  get ranges(): readonly Prefix[] {
    return [...this.#ranges.values()].map(({ prefix }) => prefix);
  }

  allocateNext(family: IpFamily): GivenAddress | string {
    const range = this.#ranges.get(family);
    if (range === undefined) return `ipv${family} allocator not available`;
    const address = range.allocateNext();
    return address === undefined ? "range is full" : { address, pool: DEFAULT_POOL };
  }

  allocate(address: IpAddress): GivenAddress | string {
    const range = this.#ranges.get(familyOf(address));
    if (range === undefined) return `IPv${familyOf(address)} allocation disabled`;
    const problem = range.allocate(address);
    return problem === undefined
      ? { address, pool: DEFAULT_POOL }
      : `${problem} (${formatIp(address)})`;
  }

  release(address: IpAddress): void {
    this.#ranges.get(familyOf(address))?.release(address);
  }
}
