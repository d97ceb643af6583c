export { PolicyAgent } from "./agent/policy-agent.ts";
export type { PolicySnapshots, PolicyTables } from "./agent/policy-tables.ts";
export { registerPolicyAgent } from "./agent/register.ts";
export type { Bits } from "./analyse/bits.ts";
export type { AddressRange } from "./analyse/block-index.ts";
export type { EndpointClass, EndpointClasses } from "./analyse/endpoint-classes.ts";
export { type PairVerdict, PolicyAnalysis } from "./analyse/policy-analysis.ts";
export type { PortClass } from "./analyse/port-classes.ts";
export type { PortMatrix } from "./analyse/port-matrix.ts";
export type { PolicySet, Subjects } from "./analyse/subjects.ts";
export {
  connectionLines,
  type Peer,
  type PermittedConnection,
  peerName,
  permittedConnections,
} from "./connections/connections.ts";
export { type ConnectionChange, connectionChanges } from "./connections/difference.ts";
export {
  type ExposedPorts,
  type Exposure,
  type ExposureReport,
  exposure,
} from "./connections/exposure.ts";
export { exposureLines } from "./connections/exposure-lines.ts";
export { type IngressConnection, ingressConnections } from "./connections/ingress-controller.ts";
export type { PortSet } from "./connections/port-set.ts";
export {
  ENTIRE_CLUSTER,
  type PossiblePeer,
  possiblePeerName,
} from "./connections/possible-peer.ts";
export { selectedWorkloads } from "./connections/selected.ts";
export { type Workload, workloadName, workloads } from "./connections/workloads.ts";
export type { Finding, FindingKind } from "./findings/finding.ts";
export { findings } from "./findings/findings.ts";
export { type Call, type DanglingCall, type Intent, inferIntent } from "./intent/calls.ts";
export {
  type CheckedCall,
  type CheckedIntent,
  type CheckedLookup,
  checkCalls,
} from "./intent/check-calls.ts";
export type { Backend, Services } from "./intent/services.ts";
export type { RecordedFlow } from "./intent/suggest.ts";
export { suggestPolicies } from "./intent/suggest.ts";
export { type UnusedPaths, unusedPaths } from "./intent/unused.ts";
export {
  evaluate,
  evaluateSide,
  type FlowVerdict,
  type PolicyFlow,
  type SideVerdict,
  type TierStep,
} from "./policy/evaluate.ts";
export { allPorts, type IpProtocol, icmpNumber, protocolName } from "./policy/ip-protocol.ts";
export { type LabelExpression, labelsMatch } from "./policy/label-expression.ts";
export { DEFAULT_SETTINGS, EPHEMERAL_PORT, type PolicySettings } from "./policy/match.ts";
export { ObjectsByKind } from "./policy/objects-by-kind.ts";
export {
  type Action,
  type BlockTerm,
  type CombinedTerm,
  type Direction,
  type DomainTerm,
  type FamilyTerm,
  type LabelTerm,
  type LocalTerm,
  type NamedPortTerm,
  type NodeTerm,
  type PeerTerm,
  type PlacedRule,
  type PodTerm,
  type Policy,
  type PortRangeTerm,
  type PortTerm,
  policyName,
  type Rule,
  ruleName,
  type SimpleTerm,
} from "./policy/policy.ts";
export {
  type NamedPort,
  outsideEndpoint,
  type PolicyEndpoint,
  policyEndpoints,
} from "./policy/policy-endpoint.ts";
export {
  KUBERNETES_POLICIES,
  type PodLabel,
  type PolicyReader,
  type PolicyView,
} from "./policy/policy-reader.ts";
export { readNetworkPolicy } from "./policy/read-network-policy.ts";
export { readPolicies } from "./policy/read-policies.ts";
export type { PolicyRule } from "./policy/rule-order.ts";
export { NETWORK_POLICY, type Tier } from "./policy/tier.ts";
