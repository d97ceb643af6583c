import { formatIp } from "@cnilab/net";
import type { IpVsDest } from "../ip-vs-dest.ts";
import type { IpVsService } from "../ip-vs-service.ts";
import type { ScheduledConnection, Scheduler } from "../scheduler.ts";
import { foldAddress, hash32 } from "./address-hash.ts";

const DH_TAB_BITS = 8;
const DH_TAB_SIZE = 1 << DH_TAB_BITS;

/** The server that the destination address hashes to, meant for caches (net/netfilter/ipvs/ip_vs_dh.c). */
export class DestinationHashing implements Scheduler {
  readonly name = "dh";
  readonly #service: IpVsService;

  constructor(service: IpVsService) {
    this.#service = service;
  }

  schedule({ vaddr }: ScheduledConnection): IpVsDest | undefined {
    const { destinations } = this.#service;
    // The kernel's 256 slots hold the servers one after the other.
    const slot = hash32(foldAddress(vaddr), DH_TAB_BITS);
    const dest = destinations[slot % destinations.length];
    return dest?.takesConnections ? dest : undefined;
  }

  why(_dest: IpVsDest, { vaddr }: ScheduledConnection): string {
    const slot = hash32(foldAddress(vaddr), DH_TAB_BITS);
    return `${formatIp(vaddr)} hashes to slot ${slot} of ${DH_TAB_SIZE}`;
  }
}
