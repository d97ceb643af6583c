import type { NetDevice } from "@cnilab/linux";
import type { IpAddress, Prefix } from "@cnilab/net";
import type { HostEntry } from "./host-entry.ts";
import type { PathAttributes } from "./path-attributes.ts";

/** Who brought a route, as BIRD's filters call it (`RTS_…`). */
export type RouteSource = "static" | "device" | "inherit" | "bgp";

/** BIRD's `preference` where nobody says otherwise (nest/route.h `DEF_PREF_…`). */
export const DEFAULT_PREFERENCE: Readonly<Record<RouteSource, number>> = {
  device: 240,
  static: 200,
  bgp: 100,
  inherit: 10,
};

/** One way on. */
export interface Hop {
  readonly dev: NetDevice;
  /** `undefined` where the destination is on the link. */
  readonly gateway: IpAddress | undefined;
}

/** What a protocol other than BGP says of where packets go. */
export type Destination =
  | { readonly kind: "blackhole" }
  | { readonly kind: "unreachable" }
  | { readonly kind: "hops"; readonly hops: readonly Hop[] };

/** Who put a route into the table. */
export interface RouteSender {
  readonly name: string;
  readonly source: RouteSource;
}

/** A BGP session as its routes remember it. */
export interface BgpSender extends RouteSender {
  readonly source: "bgp";
  readonly neighbor: IpAddress;
  /** Router id of the neighbour. */
  readonly remoteId: number;
  readonly isInternal: boolean;
  readonly rrClient: boolean;
  readonly rrClusterId: number;
}

/** One route in a speaker's table (`rte`). */
export interface TableRoute {
  readonly prefix: Prefix;
  readonly sender: RouteSender;
  readonly preference: number;
  /** Names the path beside others to the prefix, to neighbours that take several; unique for each sender and its path. */
  readonly pathId: number;
  /** `undefined` for a route of BGP: see {@link hostEntry}. */
  readonly destination: Destination | undefined;
  /** Of a route of BGP: the next hop, looked up in this same table (`gateway recursive`). */
  readonly hostEntry: HostEntry | undefined;
  /** Of a route of BGP. */
  readonly attributes: PathAttributes | undefined;
  /** Metric in the kernel, as it was learnt or as a filter set it. */
  readonly krtMetric: number | undefined;
  /** The session it came by is down, and its neighbour is expected back (RFC 4724). */
  stale: boolean;
}

/** Where packets for a route go now; `undefined` where it is not known. */
export function hopsOf({ destination, hostEntry }: TableRoute): readonly Hop[] | undefined {
  if (hostEntry !== undefined) return hostEntry.hops;
  return destination?.kind === "hops" ? destination.hops : undefined;
}

/** The device that filters see as `ifname`. */
export function interfaceOf(route: TableRoute): string | undefined {
  return hopsOf(route)?.[0]?.dev.name;
}
