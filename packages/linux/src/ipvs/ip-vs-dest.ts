import type { IpAddress } from "@cnilab/net";
import type { Dst } from "../fib/dst.ts";
import type { IpVsService } from "./ip-vs-service.ts";
import { IpVsStats } from "./ip-vs-stats.ts";

/** How packets get to a real server: by translating their destination, or unchanged to its MAC. */
export type ForwardingMethod = "masq" | "droute";

/** What `ipvsadm -a` says of a real server. */
export interface IpVsDestSpec {
  readonly address: IpAddress;
  readonly port: number;
  /** Share of new connections; 0 for none. 1 where absent. */
  readonly weight?: number;
  /** `masq` where absent. */
  readonly forwarding?: ForwardingMethod;
  /** Connections from which on it gets no new ones; 0, as where absent, for no limit. */
  readonly upperThreshold?: number;
  /** Connections below which it gets new ones again; 0 for three quarters of the upper threshold. */
  readonly lowerThreshold?: number;
}

/** A real server of a virtual service (`struct ip_vs_dest`). */
export class IpVsDest {
  /** Changes when it comes back from the trash to a service that was made anew. */
  service: IpVsService;
  readonly address: IpAddress;
  readonly port: number;
  weight = 1;
  /** The latest weight that was not 0. */
  lastWeight = 1;
  forwarding: ForwardingMethod = "masq";
  upperThreshold = 0;
  lowerThreshold = 0;
  /** Has as many connections as it may (`IP_VS_DEST_F_OVERLOAD`). */
  overloaded = false;
  /** Belongs to its service; else it waits for its last connections to end (`IP_VS_DEST_CF_AVAILABLE`). */
  available = true;
  /** Connections that carry data, as far as the protocol's state tells. */
  activeConns = 0;
  /** All connections but templates. */
  totalConns = 0;
  /** Templates of persistence. */
  persistConns = 0;
  readonly stats: IpVsStats = new IpVsStats();
  /** The way to it, and the epoch of the network in which it was found. */
  route: Dst | undefined = undefined;
  routeEpoch = -1;

  constructor(service: IpVsService, { address, port }: IpVsDestSpec) {
    this.service = service;
    this.address = address;
    this.port = port;
  }

  /** Takes over all but address and port (`__ip_vs_update_dest`). */
  update(spec: IpVsDestSpec, isNew: boolean): void {
    this.weight = spec.weight ?? 1;
    if (isNew || this.weight !== 0) this.lastWeight = this.weight;
    this.forwarding = spec.forwarding ?? "masq";
    this.upperThreshold = spec.upperThreshold ?? 0;
    this.lowerThreshold = spec.lowerThreshold ?? 0;
    this.available = true;
    this.updateOverload(0);
  }

  get inactConns(): number {
    return Math.max(0, this.totalConns - this.activeConns);
  }

  /** Whether new connections may go to it. */
  get takesConnections(): boolean {
    return this.weight > 0 && !this.overloaded;
  }

  /** Whether nothing of it is left but its name: no connection, no template. */
  get isIdle(): boolean {
    return this.totalConns === 0 && this.persistConns === 0;
  }

  /** @param change 1 when connections have become more, -1 when fewer (`__ip_vs_dest_update_overload`) */
  updateOverload(change: -1 | 0 | 1): void {
    const upper = this.upperThreshold;
    const lower = this.lowerThreshold || upper - (upper >> 2);
    if (upper === 0) this.overloaded = false;
    else if (this.totalConns >= (change > 0 ? lower : upper)) this.overloaded = true;
    else if (this.totalConns < (change < 0 ? upper : lower)) this.overloaded = false;
  }
}
