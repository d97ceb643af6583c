import type { Labels, Origin, Protocol } from "@cnilab/core";
import { formatEndpoint, type IpAddress, type Prefix } from "@cnilab/net";
import type { ForwardingMode } from "./lb-config.ts";

/** For traffic of the network, and for that of the node's own pods where both are not served alike. */
export const LB_LOOKUP_SCOPE_EXT = 0;
export const LB_LOOKUP_SCOPE_INT = 1;

export type LookupScope = typeof LB_LOOKUP_SCOPE_EXT | typeof LB_LOOKUP_SCOPE_INT;

/** What is asked for (pkg/loadbalancer L3n4Addr). */
export interface FrontendAddress {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: Protocol;
  readonly scope: LookupScope;
}

/** `10.96.0.10:53/UDP`, with `/i` behind it for traffic from inside. */
export function formatFrontend({ address, port, protocol, scope }: FrontendAddress): string {
  return `${formatEndpoint(address, port)}/${protocol}${scope === LB_LOOKUP_SCOPE_INT ? "/i" : ""}`;
}

/** How an address became a Service's; texts as `cilium-dbg` has them. */
export type FrontendType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalIPs" | "HostPort";

export interface Frontend extends FrontendAddress {
  readonly type: FrontendType;
  /** Name of the Service's port: backends that have names serve only theirs. */
  readonly portName: string;
}

/** Whether a node with these labels has a Service in its maps. */
export type NodeExposure = (labels: Labels) => boolean;

/** A Service as the load balancer takes it (pkg/loadbalancer Service). */
export interface LbService {
  /** `namespace/name`; of a pod's host port `namespace/name:host-port:PORT:UID`. */
  readonly name: string;
  readonly extLocal: boolean;
  readonly intLocal: boolean;
  /** Seconds; `undefined` without session affinity. */
  readonly affinityTimeout: number | undefined;
  readonly sourceRanges: readonly Prefix[];
  /** The ranges are those that are refused. */
  readonly sourceRangesDeny: boolean;
  /** By annotation; `undefined` as the agent is set. */
  readonly forwardingMode: ForwardingMode | undefined;
  readonly algorithm: "random" | "maglev" | undefined;
  readonly preferClose: boolean;
  /** A host port on 127.0.0.1. */
  readonly loopbackHostPort: boolean;
  /** What comes for a backend of this node goes to the node's own stack (`service.cilium.io/proxy-delegation`). */
  readonly delegateIfLocal: boolean;
  /** Labels of the nodes that it is for, by annotation; `undefined` for all. */
  readonly nodes: NodeExposure | undefined;
  /** The object that it comes from. */
  readonly origin: Origin;
  readonly frontends: readonly Frontend[];
}
