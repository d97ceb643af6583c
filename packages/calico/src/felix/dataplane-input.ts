import type { IpFamily } from "@cnilab/net";
import type { GlobalBgpConfig, IpamPool } from "../calc/messages.ts";
import type { NodeDataplane } from "../calc/node-policy.ts";
import type { EndpointMarks } from "../rules/endpoint-marks.ts";
import type { FelixConfig } from "./felix-config.ts";
import type { HostInterfaces } from "./host-interfaces.ts";

/** All that decides what Felix's policy part programs on a node. */
export interface DataplaneInput {
  readonly config: FelixConfig;
  readonly policy: NodeDataplane;
  readonly pools: readonly IpamPool[];
  /** Addresses of Calico's nodes. */
  readonly hostAddresses: Readonly<Record<IpFamily, readonly string[]>>;
  /** Addresses from which nodes send VXLAN. */
  readonly vxlanSources: Readonly<Record<IpFamily, VxlanSources>>;
  readonly bgp: GlobalBgpConfig;
  readonly interfaces: HostInterfaces;
  /** Only with IPVS. */
  readonly endpointMarks: EndpointMarks;
}

export interface VxlanSources {
  /** The same list for all nodes. */
  readonly all: readonly string[];
  /** This node's among them. */
  readonly own?: string | undefined;
}
