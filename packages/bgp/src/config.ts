import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";
import type { Filter } from "./filter.ts";

/** BIRD as Calico builds it (1.6, of its own fork), or as distributions have it. */
export type BirdRelease = "1.6" | "2.0";

/** `protocol static`: what leads nowhere, or to a neighbour. */
export interface StaticRoute {
  readonly prefix: Prefix;
  /** A blackhole where it is absent. */
  readonly via?: IpAddress;
}

/** `protocol bgp`. */
export interface PeerConfig {
  readonly name: string;
  readonly neighbor: IpAddress;
  readonly port: number;
  readonly remoteAs: number;
  readonly localAs: number;
  /** Of its connections, and what it names as next hop; the address of the way there where it is absent. */
  readonly sourceAddress: IpAddress | undefined;
  /** It waits for the neighbour to connect. */
  readonly passive: boolean;
  /** Routers that may be on the way (`ttl security on`, `multihop N`); `undefined` for any number. */
  readonly ttlSecurity?: number | undefined;
  readonly importFilter: Filter;
  readonly exportFilter: Filter;
  readonly addPaths: boolean;
  /** Seconds that others are asked to wait after a restart; no graceful restart where it is absent. */
  readonly gracefulRestartTime: number | undefined;
  readonly rrClient: boolean;
  /** The speaker's router id where it is absent. */
  readonly rrClusterId: number | undefined;
  readonly nextHopSelf: boolean;
  readonly nextHopKeep: boolean;
  /** How often the own AS may be in a path. */
  readonly allowLocalAs: number;
  /** Seconds; {@link HOLD_TIME} where it is absent. */
  readonly holdTime?: number | undefined;
  /** Seconds between keepalives; a third of the hold time where it is absent. */
  readonly keepaliveTime?: number | undefined;
}

/** `protocol kernel`. */
export interface KernelConfig {
  readonly exportFilter: Filter;
  /** `merge paths`: equally good routes become one with several next hops. */
  readonly mergePaths: boolean;
}

/** One BIRD process: a table of one family, and protocols around it. */
export interface SpeakerConfig {
  readonly release: BirdRelease;
  readonly family: IpFamily;
  readonly routerId: number;
  /** Where it takes connections; on no port where it is absent. */
  readonly listen: { readonly address?: IpAddress | undefined; readonly port: number } | undefined;
  readonly statics: readonly StaticRoute[];
  /** `protocol direct`: patterns of devices, those with `-` in front left out; the first that fits decides. */
  readonly directInterfaces: readonly string[];
  /** Nothing goes to the kernel, and nothing is learnt from it, where it is absent. */
  readonly kernel: KernelConfig | undefined;
  readonly peers: readonly PeerConfig[];
}

/** A peer as `protocol bgp` has it where nothing else is said. */
export const PEER_DEFAULTS: Omit<
  PeerConfig,
  "name" | "neighbor" | "remoteAs" | "localAs" | "importFilter" | "exportFilter"
> = {
  port: 179,
  sourceAddress: undefined,
  passive: false,
  addPaths: false,
  gracefulRestartTime: 120,
  rrClient: false,
  rrClusterId: undefined,
  nextHopSelf: false,
  nextHopKeep: false,
  allowLocalAs: 0,
};

/** Seconds (RFC 4271 §10 gives 90; BIRD's own default). */
export const HOLD_TIME = 240;
