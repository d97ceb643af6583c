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
  /** Scope in bits 0–7, onlink in 8, dead in 9, weight above: a namespace has dozens of nexthops. */
  #bits: number;
  /** Set by the route that owns it. */
  route!: Route;
  /** What output and input make of it, kept for the next packet. */
  dst: Dst | undefined = undefined;

  /**
   * @param onlink the gateway counts as reachable on `dev` whatever the tables say
   * @param weight share of the flows among the nexthops of a multipath route; 1 to 256
   * @param scope scope of the gateway: link, or host where there is none
   */
  constructor(
    dev: NetDevice | undefined,
    gateway: IpAddress | undefined,
    onlink: boolean,
    weight: number,
    scope: RouteScope,
  ) {
    this.dev = dev;
    this.gateway = gateway;
    this.#bits = scope | (onlink ? ONLINK : 0) | (weight << WEIGHT_SHIFT);
  }

  get onlink(): boolean {
    return (this.#bits & ONLINK) !== 0;
  }

  get weight(): number {
    return this.#bits >> WEIGHT_SHIFT;
  }

  get scope(): RouteScope {
    return (this.#bits & 0xff) as RouteScope;
  }

  /** The device went down. */
  get dead(): boolean {
    return (this.#bits & DEAD) !== 0;
  }

  set dead(dead: boolean) {
    this.#bits = dead ? this.#bits | DEAD : this.#bits & ~DEAD;
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

const ONLINK = 0x100;
const DEAD = 0x200;
const WEIGHT_SHIFT = 10;

/** What many routes have in common, whatever their destination. */
export interface RouteAttributes {
  readonly table: number;
  readonly type: RouteType;
  readonly scope: RouteScope;
  readonly protocol: RouteProtocol;
  /** Smaller is better. */
  readonly metric: number;
  readonly tos: number;
  /** Locked path MTU in bytes; 0 for the device's. */
  readonly mtu: number;
  /** MSS to advertise in bytes; 0 for what the MTU gives. */
  readonly advmss: number;
}

/** All there are, by a part of what they say: a cluster of any size has a few dozen. */
const knownAttributes = new Map<number, RouteAttributes[]>();

function shared(fields: RouteAttributes): RouteAttributes {
  const { table, type, scope, protocol, metric, tos, mtu, advmss } = fields;
  const part = (metric * 256 + scope) * 256 + (table & 0xff);
  let bucket = knownAttributes.get(part);
  if (bucket === undefined) {
    bucket = [];
    knownAttributes.set(part, bucket);
  }
  for (const known of bucket) {
    if (
      known.table === table &&
      known.type === type &&
      known.protocol === protocol &&
      known.mtu === mtu &&
      known.tos === tos &&
      known.advmss === advmss
    ) {
      return known;
    }
  }
  const added = { table, type, scope, protocol, metric, tos, mtu, advmss };
  bucket.push(added);
  return added;
}

/** One entry of a routing table. Immutable but for the state of its nexthops. */
export class Route implements RouteAttributes {
  readonly prefix: Prefix;
  readonly #attributes: RouteAttributes;
  readonly prefsrc: IpAddress | undefined;
  /** Of most routes the only one. */
  readonly nexthop: Nexthop;
  readonly #several: readonly Nexthop[] | undefined;
  readonly origin: Origin | undefined;
  /** The next route to the same prefix in the same table, in order of preference. */
  next: Route | undefined = undefined;

  /** @param fields with at least one nexthop, also for routes that refuse */
  constructor(fields: RouteFields) {
    const [first] = fields.nexthops;
    if (first === undefined) throw new RangeError("a route has at least one nexthop");
    this.prefix = fields.prefix;
    this.#attributes = shared(fields);
    this.prefsrc = fields.prefsrc;
    this.nexthop = first;
    this.#several = fields.nexthops.length > 1 ? fields.nexthops : undefined;
    this.origin = fields.origin;
    for (const nexthop of fields.nexthops) nexthop.route = this;
  }

  get table(): number {
    return this.#attributes.table;
  }

  get type(): RouteType {
    return this.#attributes.type;
  }

  get scope(): RouteScope {
    return this.#attributes.scope;
  }

  get protocol(): RouteProtocol {
    return this.#attributes.protocol;
  }

  get metric(): number {
    return this.#attributes.metric;
  }

  get tos(): number {
    return this.#attributes.tos;
  }

  get mtu(): number {
    return this.#attributes.mtu;
  }

  get advmss(): number {
    return this.#attributes.advmss;
  }

  /** Whether there are several ways on. */
  get isMultipath(): boolean {
    return this.#several !== undefined;
  }

  get nexthops(): readonly Nexthop[] {
    return this.#several ?? [this.nexthop];
  }

  /** Whether there is a nexthop left whose device is up; routes without device always are. */
  get alive(): boolean {
    return this.#several?.some((n) => !n.dead) ?? !this.nexthop.dead;
  }
}

export interface RouteFields extends RouteAttributes {
  readonly prefix: Prefix;
  readonly prefsrc: IpAddress | undefined;
  readonly nexthops: readonly Nexthop[];
  readonly origin: Origin | undefined;
}
