import type { Origin } from "@cnilab/core";
import { hashIp, type IpAddress, type IpFamily } from "@cnilab/net";
import type { FilterRule } from "../netfilter/filter-rule.ts";
import type { Hashed } from "./hash-chains.ts";
import type { IpVsDest } from "./ip-vs-dest.ts";
import { IP_VS_SVC_F_PERSISTENT } from "./ip-vs-service-flags.ts";
import { IpVsStats } from "./ip-vs-stats.ts";
import { serviceLine } from "./ipvsadm-save.ts";
import { makeScheduler, type Scheduler, type SchedulerName } from "./scheduler.ts";

/** What tells virtual services apart: protocol, address and port, or a packet mark. */
export type IpVsServiceKey =
  | {
      readonly protocol: number;
      readonly address: IpAddress;
      /** 0 for all ports, which only a persistent service may have. */
      readonly port: number;
    }
  | { readonly fwmark: number; readonly family: IpFamily };

/** What `ipvsadm -A` and `-E` say of a virtual service. */
export interface IpVsServiceSettings {
  readonly scheduler: SchedulerName;
  /** `IP_VS_SVC_F_…` bits. */
  readonly flags?: number;
  /** Seconds that a client stays with its server after its last connection, where the service is persistent. */
  readonly timeout?: number;
  /** How many leading bits of their addresses persistent clients share; all where absent. */
  readonly prefixLength?: number;
}

/** A virtual service (`struct ip_vs_service`). */
export class IpVsService implements Hashed<IpVsService> {
  readonly family: IpFamily;
  readonly protocol: number;
  readonly address: IpAddress;
  readonly port: number;
  /** 0 where it is known by its address. */
  readonly fwmark: number;
  readonly hash: number;
  next: IpVsService | undefined = undefined;
  /** The object whose change made an agent program it. */
  readonly origin: Origin | undefined;
  /** The one added last comes first, as in the kernel: round robin starts with it. */
  destinations: readonly IpVsDest[] = [];
  scheduler: Scheduler;
  flags = 0;
  timeout = 0;
  prefixLength = 0;
  readonly stats: IpVsStats = new IpVsStats();

  constructor(key: IpVsServiceKey, settings: IpVsServiceSettings, origin: Origin | undefined) {
    if ("fwmark" in key) {
      this.family = key.family;
      this.protocol = 0;
      this.address = 0;
      this.port = 0;
      this.fwmark = key.fwmark;
      this.hash = key.fwmark;
    } else {
      this.family = typeof key.address === "number" ? 4 : 6;
      this.protocol = key.protocol;
      this.address = key.address;
      this.port = key.port;
      this.fwmark = 0;
      this.hash = serviceHash(key.protocol, key.address, key.port);
    }
    this.origin = origin;
    this.scheduler = makeScheduler(settings.scheduler, this);
    this.update(settings);
  }

  /** Takes over what can change (`ip_vs_edit_service`). Another scheduler starts anew. */
  update({ scheduler, flags = 0, timeout = 0, prefixLength }: IpVsServiceSettings): void {
    if (scheduler !== this.scheduler.name) this.scheduler = makeScheduler(scheduler, this);
    this.flags = flags;
    this.timeout = timeout;
    this.prefixLength = prefixLength ?? (this.family === 4 ? 32 : 128);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  get isPersistent(): boolean {
    return this.has(IP_VS_SVC_F_PERSISTENT);
  }

  findDest(address: IpAddress, port: number): IpVsDest | undefined {
    return this.destinations.find((d) => d.address === address && d.port === port);
  }

  /** Adds a real server that it does not have; the scheduler learns of it. */
  link(dest: IpVsDest): void {
    this.destinations = [dest, ...this.destinations];
    this.scheduler.destsChanged?.();
  }

  unlink(dest: IpVsDest): void {
    const at = this.destinations.indexOf(dest);
    dest.available = false;
    this.destinations = this.destinations.toSpliced(at, 1);
    this.scheduler.unlinked?.(dest, at);
    this.scheduler.destsChanged?.();
  }

  /** How a trace and a drop name it: its line of `ipvsadm -Sn`. */
  get rule(): FilterRule {
    return { location: "ipvs", text: serviceLine(this), origin: this.origin };
  }
}

export function serviceHash(protocol: number, address: IpAddress, port: number): number {
  return Math.imul(hashIp(address) ^ (port << 8) ^ protocol, 0x9e3779b1) >>> 8;
}
