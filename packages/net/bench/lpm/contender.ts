import type { IpAddress, Prefix } from "../../src/index.ts";

/** What the benchmark asks of a structure for longest-prefix match. Some do IPv4 only. */
export interface Contender {
  set(prefix: Prefix, value: number): void;
  lookup(address: IpAddress): number | undefined;
}
