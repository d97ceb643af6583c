import type { Origin } from "@cnilab/core";
import type { IpAddress, Prefix } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Dst } from "./dst.ts";

/** What a route does with a packet (`rtm_type`). */
export type RouteType =
  | "unicast"
  | "local"
  | "broadcast"
  | "multicast"
  | "anycast"
  | "blackhole"
  | "unreachable"
  | "prohibit"
  | "throw";

/** How far away a destination is (`rtm_scope`); a larger number is nearer. */
export type RouteScope = 0 | 200 | 253 | 254 | 255;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_SITE = 200;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;
export const RT_SCOPE_NOWHERE = 255;

export const RT_TABLE_DEFAULT = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;

/** Who made a route (`rtm_protocol`), by the names of iproute2's rt_protos. */
export type RouteProtocol = "kernel" | "boot" | "static" | "ra" | "bird" | "dhcp" | number;

/** One way on that a route offers. */
export class Nexthop {
  readonly dev: NetDevice | undefined;
  /** The next router; `undefined` where the destination itself is on the link. */
  readonly gateway: IpAddress | undefined;
  /** The gateway counts as reachable on `dev` whatever the tables say. */
  readonly onlink: boolean;
  /** Share of the flows among the nexthops of a multipath route; at least 1. */
  readonly weight: number;
  /** Scope of the gateway: link, or host where there is none. */
  readonly scope: RouteScope;
  /** The device went down. */
  dead = false;
  /** Set by the route that owns it. */
  route!: Route;
  /** What output and input make of it, kept for the next packet. */
  dst: Dst | undefined = undefined;

  constructor(
    dev: NetDevice | undefined,
    gateway: IpAddress | undefined,
    onlink: boolean,
    weight: number,
    scope: RouteScope,
  ) {
    this.dev = dev;
    this.gateway = gateway;
    this.onlink = onlink;
    this.weight = weight;
    this.scope = scope;
  }

  sameAs(other: Nexthop): boolean {
    return (
      this.dev === other.dev &&
      this.gateway === other.gateway &&
      this.onlink === other.onlink &&
      this.weight === other.weight
    );
  }
}

/** One entry of a routing table. Immutable but for the state of its nexthops. */
export class Route {
  readonly prefix: Prefix;
  readonly table: number;
  readonly type: RouteType;
  readonly scope: RouteScope;
  readonly protocol: RouteProtocol;
  /** Smaller is better. */
  readonly metric: number;
  readonly tos: number;
  readonly prefsrc: IpAddress | undefined;
  /** Locked path MTU in bytes; 0 for the device's. */
  readonly mtu: number;
  /** MSS to advertise in bytes; 0 for what the MTU gives. */
  readonly advmss: number;
  readonly nexthops: readonly Nexthop[];
  readonly origin: Origin | undefined;
  /** The next route to the same prefix in the same table, in order of preference. */
  next: Route | undefined = undefined;

  constructor(fields: RouteFields) {
    this.prefix = fields.prefix;
    this.table = fields.table;
    this.type = fields.type;
    this.scope = fields.scope;
    this.protocol = fields.protocol;
    this.metric = fields.metric;
    this.tos = fields.tos;
    this.prefsrc = fields.prefsrc;
    this.mtu = fields.mtu;
    this.advmss = fields.advmss;
    this.nexthops = fields.nexthops;
    this.origin = fields.origin;
    for (const nexthop of fields.nexthops) nexthop.route = this;
  }

  /** Whether there is a nexthop left whose device is up; routes without device always are. */
  get alive(): boolean {
    for (const nexthop of this.nexthops) if (!nexthop.dead) return true;
    return false;
  }
}

export interface RouteFields {
  readonly prefix: Prefix;
  readonly table: number;
  readonly type: RouteType;
  readonly scope: RouteScope;
  readonly protocol: RouteProtocol;
  readonly metric: number;
  readonly tos: number;
  readonly prefsrc: IpAddress | undefined;
  readonly mtu: number;
  readonly advmss: number;
  readonly nexthops: readonly Nexthop[];
  readonly origin: Origin | undefined;
}
