import type { KubeObject } from "@cnilab/core";
import type { Protocol } from "./rule.ts";

/** A port that policies may call by its name. */
export interface EndpointPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface HostEndpointSpec {
  readonly node: string;
  /** A name, or `*` for all; without one, the interface that has an expected address. */
  readonly interfaceName?: string;
  readonly expectedIPs?: readonly string[];
  readonly profiles?: readonly string[];
  readonly ports?: readonly EndpointPort[];
}

export interface HostEndpoint extends KubeObject {
  readonly kind: "HostEndpoint";
  readonly spec: HostEndpointSpec;
}
