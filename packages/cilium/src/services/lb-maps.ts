import type { Protocol } from "@cnilab/core";
import type { IpAddress, Prefix } from "@cnilab/net";
import type { FrontendAddress } from "./frontend.ts";

// What the load balancer's maps hold, as data (pkg/loadbalancer/maps/types.go; bpf/lib/common.h).

/** `cilium_lb4_services_v2` and 6: slot 0 is the service itself, the others are its backends. */
export interface ServiceEntry extends FrontendAddress {
  readonly slot: number;
  /** Of slots from 1. */
  readonly backendId: number;
  /** Of slot 0, in the place of the backend's id: session affinity's seconds, and an algorithm by annotation. */
  readonly affinityTimeout: number;
  readonly algorithm: number;
  /** Of slot 0: backends that new connections go to, in the slots from 1. */
  readonly count: number;
  /** Of slot 0: those behind them, which only old connections go to. */
  readonly qcount: number;
  readonly revNat: number;
  readonly flags: number;
}

/** `cilium_lb4_backends_v3` and 6. */
export interface BackendEntry {
  readonly id: number;
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: Protocol;
  /** As `BACKEND_STATE_FLAGS` has it. */
  readonly state: number;
}

/** `cilium_lb4_reverse_nat` and 6: what a backend's answers come from. */
export interface RevNatEntry {
  readonly revNat: number;
  readonly address: IpAddress;
  readonly port: number;
}

/** `cilium_lb_affinity_match`: the service still has this backend. */
export interface AffinityMatchEntry {
  readonly revNat: number;
  readonly backendId: number;
}

/** `cilium_lb4_source_range` and 6. */
export interface SourceRangeEntry {
  readonly revNat: number;
  readonly prefix: Prefix;
}

/** An inner map of `cilium_lb4_maglev` and 6. */
export interface MaglevEntry {
  readonly revNat: number;
  readonly family: 4 | 6;
  readonly table: Uint32Array;
}

/** What one Service puts into the maps; its backends' own entries are shared. */
export interface ServiceEntries {
  readonly services: readonly ServiceEntry[];
  readonly revNat: readonly RevNatEntry[];
  readonly affinityMatch: readonly AffinityMatchEntry[];
  readonly sourceRanges: readonly SourceRangeEntry[];
  readonly maglev: readonly MaglevEntry[];
}

export const NO_ENTRIES: ServiceEntries = {
  services: [],
  revNat: [],
  affinityMatch: [],
  sourceRanges: [],
  maglev: [],
};
