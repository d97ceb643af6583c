import type { IpAddress } from "./ip-address.ts";
import type { Prefix } from "./prefix.ts";

/** What `LpmTable` needs from the structure that holds the prefixes of one family. */
export interface LpmStructure<V> {
  readonly size: number;
  lookupShorter(address: IpAddress, below: number): V | undefined;
  get(prefix: Prefix): V | undefined;
  set(prefix: Prefix, value: V): void;
  delete(prefix: Prefix): boolean;
  /** All prefixes by address, then length. */
  entries(): [Prefix, V][];
}
