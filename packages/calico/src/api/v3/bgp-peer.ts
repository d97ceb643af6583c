import type { KubeObject } from "@cnilab/core";
import type { ASNumber, BGPPassword } from "./bgp-configuration.ts";

export interface BGPPeerSpec {
  /** This node has the peer; all where neither this nor a selector is given. */
  readonly node?: string;
  readonly nodeSelector?: string;
  /** `10.0.0.1`, `10.0.0.1:1790`, `[fd00::1]:1790`. */
  readonly peerIP?: string;
  readonly asNumber?: ASNumber;
  readonly localASNumber?: ASNumber;
  /** The peers are nodes of this cluster. */
  readonly peerSelector?: string;
  readonly keepOriginalNextHop?: boolean;
  readonly nextHopMode?: "Auto" | "Self" | "Keep";
  readonly password?: BGPPassword;
  readonly sourceAddress?: "UseNodeIP" | "None";
  /** A duration such as `120s`. */
  readonly maxRestartTime?: string;
  readonly keepaliveTime?: string;
  readonly numAllowedLocalASNumbers?: number;
  readonly ttlSecurity?: number;
  readonly reachableBy?: string;
  /** Names of BGPFilters, in order. */
  readonly filters?: readonly string[];
  readonly localWorkloadSelector?: string;
  readonly reversePeering?: "Auto" | "Manual";
}

export interface BGPPeer extends KubeObject {
  readonly kind: "BGPPeer";
  readonly spec: BGPPeerSpec;
}
