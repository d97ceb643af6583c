export { labelExpression } from "./analyse/label-expression.ts";
export { calicoPolicyReader } from "./analyse/policy-reader.ts";
export { type RuleHit, ruleHits } from "./analyse/rule-hits.ts";
export { GROUP, VERSION_CURRENT } from "./api/kinds.ts";
export { CALICO_RESOURCES } from "./api/resources.ts";
export type * as v3 from "./api/v3.ts";
export type { BgpNode, BgpNodeSide } from "./bird/bgp-node.ts";
export { type BgpCore, type BgpSources, BgpView, type NodeBlock } from "./bird/bgp-view.ts";
export { BirdAgent, type BirdEnvironment, ClusterBgp } from "./bird/bird-agent.ts";
export type { MissingReferences, ReferenceSources } from "./bird/missing-references.ts";
export { DEFAULT_AS, endpoint, type Peering, peerings } from "./bird/peerings.ts";
export { ServiceAdvertisement, type ServiceRoutes } from "./bird/service-routes.ts";
export { speakerConfig } from "./bird/speaker-config.ts";
export { CalcFeed } from "./calc/calc-feed.ts";
export { CalcGraph, type CalcGraphOptions } from "./calc/calc-graph.ts";
export { CALC_KINDS, CalcObjects, type CalcObjectsOptions } from "./calc/calc-objects.ts";
export type { IpSetDelta, IpSetMembers } from "./calc/ip-set.ts";
export { type BlockRoute, blockRoutes } from "./calc/l3-routes/block-routes.ts";
export { type L3Route, L3Routes, type WorkloadRoute } from "./calc/l3-routes/l3-routes.ts";
export { NODE_ANNOTATIONS } from "./calc/l3-routes/node-annotations.ts";
export { type NodeFacts, type NodeSide, nodeFacts } from "./calc/l3-routes/node-facts.ts";
export { type PoolFacts, poolFacts } from "./calc/l3-routes/pool-facts.ts";
export { routeUpdate, routeUpdates } from "./calc/l3-routes/route-update.ts";
export { vtepMac, vxlanTunnelEndpoint } from "./calc/l3-routes/vteps.ts";
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
  type WorkloadBpfSkipRedir,
  type WorkloadEndpoint,
  type WorkloadEndpointId,
} from "./calc/messages.ts";
export type { NodeCalc } from "./calc/node-calc.ts";
export type { ActivePolicy, NodeChanges, NodeDataplane } from "./calc/node-policy.ts";
export { calico } from "./calico.ts";
export {
  type CheckedAllocation,
  checkIpam,
  type IpamCheck,
  type IpamCheckOptions,
} from "./calicoctl/ipam-check.ts";
export {
  showBorrowed,
  showConfiguration,
  showIp,
  showUtilization,
} from "./calicoctl/ipam-show.ts";
export { nodeStatus } from "./calicoctl/node-status.ts";
export { convertClusterNetworkPolicy } from "./conversion/cluster-network-policy.ts";
export type {
  BadRule,
  ConvertedPolicy,
} from "./conversion/converted-policy.ts";
export {
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
  NAME_LABEL,
  NAMESPACE_LABEL_PREFIX,
  NAMESPACE_PROFILE_PREFIX,
  SERVICE_ACCOUNT_LABEL_PREFIX,
  SERVICE_ACCOUNT_PROFILE_PREFIX,
} from "./conversion/labels.ts";
export type {
  IpNat,
  ModelEndpointPort,
  ModelHostEndpoint,
  ModelNetworkSet,
  ModelPolicy,
  ModelProfile,
  ModelRule,
  ModelRuleSide,
  ModelTier,
  ModelWorkloadEndpoint,
  WorkloadEndpointKey,
} from "./conversion/model.ts";
export {
  modelHostEndpoint,
  modelWorkloadEndpoint,
  workloadEndpointKey,
} from "./conversion/model-endpoints.ts";
export {
  modelGlobalNetworkPolicy,
  modelNetworkPolicy,
  modelStagedGlobalNetworkPolicy,
  modelStagedKubernetesNetworkPolicy,
  modelStagedNetworkPolicy,
} from "./conversion/model-policies.ts";
export { modelRules } from "./conversion/model-rules.ts";
export {
  modelGlobalNetworkSet,
  modelNetworkSet,
  modelProfile,
  modelTier,
} from "./conversion/model-sets.ts";
export { convertNetworkPolicy } from "./conversion/network-policy.ts";
export { formatPort, type ParsedPort, parsePort } from "./conversion/ports.ts";
export {
  namespaceProfile,
  serviceAccountProfile,
  serviceAccountProfileName,
} from "./conversion/profiles.ts";
export { globalSubject, namespacedSubject, peerSelector } from "./conversion/selector-texts.ts";
export {
  hasWorkloadEndpoint,
  isFinished,
  POD_ANNOTATIONS,
  PodConversionError,
  type WorkloadEndpointObject,
  type WorkloadEndpointPort,
  workloadEndpointOf,
} from "./conversion/workload-endpoint.ts";
export { registerFelixPolicy } from "./felix/register.ts";
export { StandAloneFelix } from "./felix/stand-alone.ts";
export { lengthLimitedId } from "./hash/length-limited-id.ts";
export { uniqueId } from "./hash/unique-id.ts";
export type { AddressOwner, HostReserved, ReleaseOptions } from "./ipam/allocation-block.ts";
export { WINDOWS_RESERVED, WINDOWS_RESERVED_HANDLE } from "./ipam/allocation-block.ts";
export { ApiDatastore } from "./ipam/api-datastore.ts";
export type { AssignIpRequest } from "./ipam/assign-ip.ts";
export { AssignmentFailed, type Assignments, type AutoAssignRequest } from "./ipam/auto-assign.ts";
export { type BlockSpace, blockOrder } from "./ipam/block-order.ts";
export { CalicoIpam, type CalicoIpamOptions } from "./ipam/calico-ipam.ts";
export type { AffinityKey, AffinityOwner, IpamDatastore, Stored } from "./ipam/datastore.ts";
export { IpamClient } from "./ipam/ipam-client.ts";
export { IpamController } from "./ipam/ipam-controller.ts";
export {
  AddressInCooldown,
  BlockClaimConflict,
  BlockLimitReached,
  BlockNotEmpty,
  IpamError,
  NoFreeBlocks,
  ResourceAlreadyExists,
  ResourceDoesNotExist,
  StaleAffinity,
  UpdateConflict,
} from "./ipam/ipam-error.ts";
export type { IpamSettings } from "./ipam/ipam-settings.ts";
export type { Pool } from "./ipam/pool.ts";
export type { ReleasedAddresses } from "./ipam/release.ts";
export type { PoolUtilization, Utilization, UtilizationReport } from "./ipam/utilization.ts";
export {
  type ChainBackend,
  type EndpointChainPrefix,
  endpointChainName,
  MAX_CHAIN_NAME_LENGTH,
  type PolicyDirection,
  policyChainName,
  policyGroupChainName,
  profileChainName,
} from "./names/chain-names.ts";
export { ipSetName, tempIpSetName } from "./names/ip-set-name.ts";
export { isStaged, policyIdText } from "./names/policy-id.ts";
export { vethName } from "./names/veth-name.ts";
export {
  parseWorkloadEndpointName,
  type WorkloadEndpointIdentifiers,
  WorkloadEndpointNameError,
  workloadEndpointName,
} from "./names/workload-endpoint-name.ts";
export { RELEASE } from "./release.ts";
export { CalicoNode, type CalicoNodeEnvironment } from "./routing/calico-node.ts";
export { ClusterRoutes, type RouteSources } from "./routing/cluster-routes.ts";
export type { DefaultPools } from "./routing/startup.ts";
export type { TunnelAddressRequest, TunnelIpam } from "./routing/tunnel-addresses.ts";
export {
  type LabelRestriction,
  type LabelRestrictions,
  possibleToSatisfy,
} from "./selector/label-restrictions.ts";
export type { Labels, SelectorNode, ValueOperator } from "./selector/node.ts";
export { normaliseSelector, parseSelector, Selector } from "./selector/selector.ts";
export { SelectorError } from "./selector/selector-error.ts";
