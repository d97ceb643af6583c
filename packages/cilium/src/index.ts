export { agentIdentities } from "./agent/identity/flow-identities.ts";
export { ciliumPolicyReader } from "./analyse/policy-reader.ts";
export { ALPHA_VERSION, GROUP, VERSION } from "./api/kinds.ts";
export { CILIUM_RESOURCES } from "./api/resources.ts";
export type * as v2 from "./api/v2.ts";
export { cilium } from "./cilium.ts";
export { AGENT_LISTINGS, type AgentListing, agentOutput } from "./dbg/agent-listings.ts";
export type { DbgOutput } from "./dbg/listing.ts";
export type { FlowIdentities } from "./hubble/cluster-lookups.ts";
export {
  GlobalIdentities,
  HEARTBEAT_ANNOTATION,
  type IdentityBackend,
  identityObject,
} from "./identity/global-identities.ts";
export {
  IDENTITY_GC_INTERVAL_MS,
  IDENTITY_HEARTBEAT_TIMEOUT_MS,
  IdentityGc,
  type IdentityGcRound,
} from "./identity/identity-gc.ts";
export { scopeOfLabels } from "./identity/identity-scope.ts";
export {
  allowsOverwrite,
  IpCache,
  type IpCacheEntry,
  type IpCacheListener,
  type IpSource,
  SOURCES,
} from "./identity/ip-cache.ts";
export {
  type IdentityHolder,
  type IdentityListener,
  KnownIdentities,
} from "./identity/known-identities.ts";
export { LocalIdentities } from "./identity/local-identities.ts";
export {
  IDENTITY_SCOPE,
  type IdentityRange,
  type IdentityScope,
  identityRange,
  isReservedIdentity,
  isWorld,
  MAX_LOCAL_IDENTITY,
  MINIMAL_ALLOCATION_IDENTITY,
  type NumericIdentity,
  RESERVED_IDENTITY,
  scopeOf,
} from "./identity/numeric-identity.ts";
export {
  inheritLabels,
  type PrefixLabelSettings,
  resolveLabels,
} from "./identity/prefix-labels.ts";
export {
  type LocalIdentityListener,
  type PrefixInfo,
  PrefixMetadata,
} from "./identity/prefix-metadata.ts";
export {
  RESERVED_LABELS,
  RESERVED_NAMES,
  reservedIdentityOf,
} from "./identity/reserved-identities.ts";
export { cidrLabel, cidrLabels, parseCidrLabel, parseCidrLabels } from "./labels/cidr-labels.ts";
export {
  type CidrSelection,
  cidrGroupLabel,
  cidrRuleSelectors,
  cidrSelectors,
} from "./labels/cidr-selectors.ts";
export { EndpointSelector } from "./labels/endpoint-selector.ts";
export {
  type LabelledPod,
  POD_NAMESPACE_LABEL,
  POD_NAMESPACE_META_LABELS,
  POLICY_CLUSTER_LABEL,
  POLICY_SERVICE_ACCOUNT_LABEL,
  podLabels,
} from "./labels/kubernetes-labels.ts";
export {
  extendedKey,
  formatLabel,
  LABEL_SOURCE,
  type Label,
  label,
  parseLabel,
  parseSelectLabel,
} from "./labels/label.ts";
export { type FilteredLabels, LabelFilter, LabelPatternError } from "./labels/label-filter.ts";
export {
  fromSecurityLabels,
  identityKey,
  kubernetesLabels,
  type LabelSet,
  labelSet,
  parseIdentityKey,
  parseLabels,
  printLabels,
  securityLabels,
} from "./labels/label-set.ts";
export {
  hasWorldLabel,
  isReserved,
  type ReservedLabel,
  reservedLabel,
  worldLabel,
} from "./labels/reserved-labels.ts";
export { type MtuFeatures, type RouteMtu, routeMtu } from "./mtu.ts";
export { DEVICE } from "./names/devices.ts";
export { endpointInterfaceName, temporaryInterfaceName } from "./names/interface-names.ts";
export { fqdnSelector, labelSelector, type PeerSelector } from "./policy/cached-selector.ts";
export { ciliumPolicyRules } from "./policy/cilium-policy.ts";
export {
  EndpointPolicy,
  type PolicyOwner,
  type Redirect,
  redirectsOf,
} from "./policy/endpoint-policy.ts";
export { kubernetesPolicyRule } from "./policy/kubernetes-policy.ts";
export type { FilterPeer, L4Filter } from "./policy/l4-filter.ts";
export type { L4DirectionPolicy } from "./policy/l4-policy.ts";
export { MapState, MapStateChanges, type PolicyFeatures } from "./policy/map-state.ts";
export {
  type FqdnSelection,
  fqdn,
  fqdnExpression,
  patternExpression,
  sanitizePattern,
} from "./policy/match-pattern.ts";
export {
  AUTH_TYPE,
  type AuthType,
  type PolicyMapEntry,
} from "./policy/policy-map-entry.ts";
export {
  lastPort,
  type PolicyMapKey,
  type PolicyPorts,
  protocolNumber,
  type TrafficDirection,
} from "./policy/policy-map-key.ts";
export {
  PolicyRepository,
  type PolicySubject,
  type ResolvedPolicy,
  selectsSubject,
} from "./policy/policy-repository.ts";
export {
  formatRule,
  type PeerRule,
  type PolicyRule,
  requiresDerivative,
} from "./policy/policy-rule.ts";
export { DEFAULT_POLICY_SETTINGS, type PolicySettings } from "./policy/policy-settings.ts";
export { type MaskedPort, maskedPorts, prefixLengthOf } from "./policy/port-range.ts";
export { type Selections, SelectorCache, type SelectorUser } from "./policy/selector-cache.ts";
export {
  type L7Parser,
  PolicyConflictError,
  type SelectorPolicy,
} from "./policy/selector-policy.ts";
export { type PolicyService, refersToServices, resolveServices } from "./policy/to-services.ts";

export { RELEASE } from "./release.ts";
