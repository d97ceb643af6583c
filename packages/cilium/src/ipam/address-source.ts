import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";

/** An address, and where it is from. */
export interface GivenAddress {
  readonly address: IpAddress;
  readonly pool: string;
}

/** The pool of all modes that have but one. */
export const DEFAULT_POOL = "default";

/** Where a node's addresses come from: one for each mode of IPAM (pkg/ipam Allocator). */
export interface AddressSource {
  /** Begins to look for ranges; `changed` whenever there are more or fewer. */
  start(changed: () => void): void;
  stop(): void;
  /** Whether there is enough to start with. */
  readonly isReady: boolean;
  /** What it waits for. */
  readonly problem: string | undefined;
  readonly ranges: readonly Prefix[];
  /** @returns why there is none, as text */
  allocateNext(family: IpFamily, pool: string, owner: string): GivenAddress | string;
  allocate(address: IpAddress, pool: string, owner: string): GivenAddress | string;
  release(address: IpAddress): void;
}
