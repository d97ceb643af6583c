import type {} from "./api/kinds.ts";

export type * as v3 from "./api/v3.ts";
export {
  type Encapsulation,
  type GlobalBgpConfig,
  type HostEndpoint,
  type HostEndpointId,
  type HostMetadata,
  type HttpMatch,
  type IcmpTypeAndCode,
  type IpamPool,
  type IpPoolType,
  type IpSetType,
  type IpVersionName,
  type NatInfo,
  type Policy,
  type PolicyId,
  type PolicyKind,
  type PortRange,
  type Profile,
  type QosControls,
  type QosPolicy,
  RouteType,
  type RouteUpdate,
  type Rule,
  type RuleAction,
  type RuleProtocol,
  type ServiceAccountMatch,
  type TierDefaultAction,
  type TierInfo,
  type TunnelType,
  type VxlanTunnelEndpoint,
  type WireguardEndpoint,
  type WorkloadEndpoint,
  type WorkloadEndpointId,
} from "./calc/messages.ts";

/** Release that this package models. */
export const RELEASE = "v3.34.0";
