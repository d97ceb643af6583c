import type { IpAddress } from "@cnilab/net";
import type { IpVsDest } from "./ip-vs-dest.ts";
import type { IpVsService } from "./ip-vs-service.ts";
import { DestinationHashing } from "./schedulers/destination-hashing.ts";
import { Failover, Overflow } from "./schedulers/failover.ts";
import { LeastConnection, WeightedLeastConnection } from "./schedulers/least-connection.ts";
import { MaglevHashing } from "./schedulers/maglev-hashing.ts";
import { RoundRobin } from "./schedulers/round-robin.ts";
import { NeverQueue, ShortestExpectedDelay } from "./schedulers/shortest-expected-delay.ts";
import { SourceHashing } from "./schedulers/source-hashing.ts";
import { WeightedRoundRobin } from "./schedulers/weighted-round-robin.ts";

/** The connection that looks for a real server. */
export interface ScheduledConnection {
  readonly caddr: IpAddress;
  readonly cport: number;
  readonly vaddr: IpAddress;
}

/** Chooses among the real servers of one virtual service (`struct ip_vs_scheduler`, with its `sched_data`). */
export interface Scheduler {
  readonly name: SchedulerName;
  /** `undefined` where no server takes connections. */
  schedule(connection: ScheduledConnection): IpVsDest | undefined;
  /** In words, why it chose this one; asked before the connection counts. */
  why(dest: IpVsDest, connection: ScheduledConnection): string;
  /** Servers have come or gone, or their weights have changed. */
  destsChanged?(): void;
  /** A server has gone that stood at this place. */
  unlinked?(dest: IpVsDest, at: number): void;
}

/** As `ipvsadm -s` takes them. */
export type SchedulerName =
  | "rr"
  | "wrr"
  | "lc"
  | "wlc"
  | "sed"
  | "nq"
  | "sh"
  | "dh"
  | "mh"
  | "fo"
  | "ovf";

const SCHEDULERS: Readonly<Record<SchedulerName, new (service: IpVsService) => Scheduler>> = {
  rr: RoundRobin,
  wrr: WeightedRoundRobin,
  lc: LeastConnection,
  wlc: WeightedLeastConnection,
  sed: ShortestExpectedDelay,
  nq: NeverQueue,
  sh: SourceHashing,
  dh: DestinationHashing,
  mh: MaglevHashing,
  fo: Failover,
  ovf: Overflow,
};

export const SCHEDULER_NAMES: readonly SchedulerName[] = Object.keys(SCHEDULERS) as SchedulerName[];

export function isSchedulerName(name: string): name is SchedulerName {
  return Object.hasOwn(SCHEDULERS, name);
}

export function makeScheduler(name: SchedulerName, service: IpVsService): Scheduler {
  return new SCHEDULERS[name](service);
}
