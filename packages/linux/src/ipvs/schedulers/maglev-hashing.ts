import { formatIp, type IpAddress } from "@cnilab/net";
import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import { IP_VS_SVC_F_SCHED1, IP_VS_SVC_F_SCHED2 } from "../ip-vs-service-flags.ts";
import type { ScheduledConnection, Scheduler } from "../scheduler.ts";
import { foldAddress } from "./address-hash.ts";
import { greatestCommonDivisor } from "./greatest-common-divisor.ts";
import { hsiphash1u32 } from "./hsiphash.ts";

/** A prime, for CONFIG_IP_VS_MH_TAB_INDEX=12. */
const MH_TAB_SIZE = 4093;
/** Weights are scaled to this many bits. */
const MH_TAB_BITS = 6;
/** Both words of the two keys (`generate_hash_secret`). */
const HASH1 = 2_654_435_761n;
const HASH2 = 2_654_446_892n;

/**
 * The server that the client's address hashes to in a table which changes little when servers come and
 * go: each prefers the places of the table in an order of its own, and in turn takes the first that is
 * free (net/netfilter/ipvs/ip_vs_mh.c; Eisenbud and others, Maglev, NSDI 2016, section 3.4).
 */
export class MaglevHashing implements Scheduler {
  readonly name = "mh";
  readonly #service: IpVsService;
  /** Filled when somebody asks. */
  #table: readonly IpVsDest[] | undefined;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(connection: ScheduledConnection): IpVsDest | undefined {
    this.#table ??= populate(this.#service.destinations);
    const first = this.#place(connection, 0);
    const dest = this.#table[first];
    if (dest === undefined || dest.takesConnections) return dest;
    return this.#service.has(IP_VS_SVC_F_SCHED1) ? this.#fallBack(connection, first) : undefined;
  }

  why(_dest: IpVsDest, connection: ScheduledConnection): string {
    const place = this.#place(connection, 0);
    return `${formatIp(connection.caddr)} hashes to place ${place} of ${MH_TAB_SIZE}`;
  }

  destsChanged(): void {
    this.#table = undefined;
  }

  #fallBack(connection: ScheduledConnection, first: number): IpVsDest | undefined {
    for (let i = 0; i < MH_TAB_SIZE; i++) {
      const dest = this.#table?.[this.#place(connection, (first + i) % MH_TAB_SIZE)];
      if (dest?.takesConnections) return dest;
    }
    return undefined;
  }

  #place({ caddr, cport }: ScheduledConnection, offset: number): number {
    const port = this.#service.has(IP_VS_SVC_F_SCHED2) ? cport : 0;
    return hash(caddr, port, HASH1, offset) % MH_TAB_SIZE;
  }
}

function hash(address: IpAddress, port: number, key: bigint, offset = 0): number {
  return hsiphash1u32((offset + port + foldAddress(address)) >>> 0, key, key);
}

/** A server's own order of the places: from `next` on, `skip` further each time. */
interface Permutation {
  readonly dest: IpVsDest;
  next: number;
  readonly skip: number;
  /** Places that it takes in a turn. */
  readonly turns: number;
}

function populate(destinations: readonly IpVsDest[]): IpVsDest[] {
  const permutations = permute(destinations);
  const table: IpVsDest[] = [];
  if (permutations.length === 0) return table;
  table.length = MH_TAB_SIZE;
  for (let taken = 0; ; ) {
    for (const permutation of permutations) {
      for (let i = 0; i < permutation.turns; i++) {
        while (table[permutation.next] !== undefined) {
          permutation.next = (permutation.next + permutation.skip) % MH_TAB_SIZE;
        }
        table[permutation.next] = permutation.dest;
        if (++taken === MH_TAB_SIZE) return table;
      }
    }
  }
}

/** By the last weights that were not 0: a server that takes no connections for a while keeps its places. */
function permute(destinations: readonly IpVsDest[]): Permutation[] {
  const weights = destinations.map((d) => d.lastWeight);
  const divisor = greatestCommonDivisor(weights);
  if (divisor === 0) return [];
  const bits = 32 - Math.clz32(Math.max(...weights) / divisor);
  const shift = Math.max(0, bits - MH_TAB_BITS);
  return destinations
    .filter((d) => d.lastWeight > 0)
    .map((dest) => ({
      dest,
      next: hash(dest.address, dest.port, HASH1) % MH_TAB_SIZE,
      skip: (hash(dest.address, dest.port, HASH2) % (MH_TAB_SIZE - 1)) + 1,
      turns: (dest.lastWeight / divisor) >> shift || 1,
    }));
}
