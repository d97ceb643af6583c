import type { KubeObject } from "@cnilab/core";
import type { ASNumber } from "./bgp-configuration.ts";

export type BGPFilterMatchOperator = "Equal" | "NotEqual" | "In" | "NotIn";

/** Exactly one of the fields. */
export interface BGPFilterOperation {
  readonly addCommunity?: { readonly value: string };
  readonly prependASPath?: { readonly prefix: readonly ASNumber[] };
  readonly setPriority?: { readonly value: number };
}

/** What is given must hold; then the action ends the filter. */
export interface BGPFilterRule {
  readonly cidr?: string;
  readonly prefixLength?: { readonly min?: number; readonly max?: number };
  /** Routes that a peer told, not the node's own. */
  readonly source?: "RemotePeers";
  readonly interface?: string;
  readonly matchOperator?: BGPFilterMatchOperator;
  readonly peerType?: "eBGP" | "iBGP";
  readonly communities?: { readonly values: readonly string[] };
  readonly asPathPrefix?: readonly ASNumber[];
  readonly priority?: number;
  readonly action: "Accept" | "Reject";
  readonly operations?: readonly BGPFilterOperation[];
}

export interface BGPFilterSpec {
  readonly exportV4?: readonly BGPFilterRule[];
  readonly importV4?: readonly BGPFilterRule[];
  readonly exportV6?: readonly BGPFilterRule[];
  readonly importV6?: readonly BGPFilterRule[];
}

export interface BGPFilter extends KubeObject {
  readonly kind: "BGPFilter";
  readonly spec: BGPFilterSpec;
}
