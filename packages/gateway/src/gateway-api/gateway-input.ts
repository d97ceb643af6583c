import type {
  BackendTLSPolicy,
  ConfigMap,
  Gateway,
  GatewayAddress,
  GatewayClass,
  GRPCRoute,
  HTTPRoute,
  ListenerSet,
  Namespace,
  ReferenceGrant,
  Secret,
  Service,
  TCPRoute,
  TLSRoute,
  UDPRoute,
} from "@cnilab/core";
import type { ProxyRules } from "../routing/proxy-rules.ts";

/** What a Gateway controller watches. */
export interface GatewayInput {
  readonly gatewayClasses: readonly GatewayClass[];
  readonly gateways: readonly Gateway[];
  readonly listenerSets?: readonly ListenerSet[];
  readonly httpRoutes?: readonly HTTPRoute[];
  readonly grpcRoutes?: readonly GRPCRoute[];
  readonly tlsRoutes?: readonly TLSRoute[];
  readonly tcpRoutes?: readonly TCPRoute[];
  readonly udpRoutes?: readonly UDPRoute[];
  readonly referenceGrants?: readonly ReferenceGrant[];
  readonly backendTlsPolicies?: readonly BackendTLSPolicy[];
  /** Labels of namespaces, for `from: Selector`. */
  readonly namespaces?: readonly Namespace[];
  /** Absent where nobody knows them: then every Service that is named counts as there. */
  readonly services?: readonly Service[];
  /** Absent where nobody knows them: then every Secret that is named counts as there. */
  readonly secrets?: readonly Secret[];
  readonly configMaps?: readonly ConfigMap[];
}

export interface GatewayControllerOptions {
  /** `spec.controllerName` of the classes that are its own. */
  readonly controllerName: string;
  /** Addresses of a Gateway's data plane by `namespace/name`; not yet programmed where it has none. */
  readonly addresses?: ReadonlyMap<string, readonly GatewayAddress[]>;
}

/** What a Gateway controller makes of all objects: what is served, and what it writes into their status. */
export interface GatewayState {
  /** By `namespace/name`: the Gateways of this controller. */
  readonly gateways: ReadonlyMap<string, ProxyRules>;
  /**
   * By `Kind namespace/name` (`GatewayClass name`): the whole `status` of each object that this controller has a say in,
   * without `lastTransitionTime`, which `withTransitionTimes` adds.
   */
  readonly statuses: ReadonlyMap<string, GatewayObjectStatus>;
}

export type GatewayObjectStatus = NonNullable<
  | GatewayClass["status"]
  | Gateway["status"]
  | ListenerSet["status"]
  | HTTPRoute["status"]
  | BackendTLSPolicy["status"]
>;
