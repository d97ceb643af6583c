import { formatIp } from "@cnilab/net";
import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import { IP_VS_SVC_F_SCHED1, IP_VS_SVC_F_SCHED2 } from "../ip-vs-service-flags.ts";
import type { ScheduledConnection, Scheduler } from "../scheduler.ts";
import { foldAddress, hash32 } from "./address-hash.ts";

const SH_TAB_BITS = 8;
const SH_TAB_SIZE = 1 << SH_TAB_BITS;

/**
 * The server that the client's address hashes to: a client stays with its server as long as the set of
 * servers stays (net/netfilter/ipvs/ip_vs_sh.c). Weights say how many of 256 slots a server gets.
 */
export class SourceHashing implements Scheduler {
  readonly name = "sh";
  readonly #service: IpVsService;
  /** Filled when somebody asks. */
  #slots: readonly IpVsDest[] | undefined;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule(connection: ScheduledConnection): IpVsDest | undefined {
    this.#slots ??= fillSlots(this.#service.destinations);
    const first = this.#slot(connection, 0);
    const dest = this.#slots[first];
    if (dest === undefined || dest.takesConnections) return dest;
    return this.#service.has(IP_VS_SVC_F_SCHED1) ? this.#fallBack(connection, first) : undefined;
  }

  why(_dest: IpVsDest, connection: ScheduledConnection): string {
    const slot = this.#slot(connection, 0);
    return `${formatIp(connection.caddr)} hashes to slot ${slot} of ${SH_TAB_SIZE}`;
  }

  destsChanged(): void {
    this.#slots = undefined;
  }

  /** The next one that takes connections, in an order that is the client's own. */
  #fallBack(connection: ScheduledConnection, first: number): IpVsDest | undefined {
    for (let i = 0; i < SH_TAB_SIZE; i++) {
      const dest = this.#slots?.[this.#slot(connection, (first + i) % SH_TAB_SIZE)];
      if (dest?.takesConnections) return dest;
    }
    return undefined;
  }

  #slot({ caddr, cport }: ScheduledConnection, offset: number): number {
    const port = this.#service.has(IP_VS_SVC_F_SCHED2) ? cport : 0;
    return (offset + hash32((port + foldAddress(caddr)) | 0, SH_TAB_BITS)) % SH_TAB_SIZE;
  }
}

/** A server fills as many slots in a row as it has weight, and at least one. */
function fillSlots(destinations: readonly IpVsDest[]): IpVsDest[] {
  const slots: IpVsDest[] = [];
  while (destinations.length > 0 && slots.length < SH_TAB_SIZE) {
    for (const dest of destinations) {
      for (let i = 0; i < Math.max(1, dest.weight); i++) slots.push(dest);
      if (slots.length >= SH_TAB_SIZE) break;
    }
  }
  return slots.slice(0, SH_TAB_SIZE);
}
