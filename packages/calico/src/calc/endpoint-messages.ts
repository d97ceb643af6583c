import type { ModelHostEndpoint, ModelWorkloadEndpoint } from "../conversion/model.ts";
import type { EndpointTiers } from "./endpoint-tiers.ts";
import type { HostEndpoint, WorkloadBpfSkipRedir, WorkloadEndpoint } from "./messages.ts";

/** `felix/calc/event_sequencer.go` ModelWorkloadEndpointToProto. */
export function workloadEndpointMessage(
  endpoint: ModelWorkloadEndpoint,
  { normal }: EndpointTiers,
): WorkloadEndpoint {
  const skipRedir = skippedRedirection(endpoint);
  return {
    state: endpoint.state,
    name: endpoint.name,
    profileIds: endpoint.profileIds,
    ipv4Nets: endpoint.ipv4Nets,
    ipv6Nets: endpoint.ipv6Nets,
    tiers: normal,
    ...(endpoint.ipv4Nat.length > 0 && { ipv4Nat: endpoint.ipv4Nat }),
    ...(endpoint.ipv6Nat.length > 0 && { ipv6Nat: endpoint.ipv6Nat }),
    ...(endpoint.allowSpoofedSourcePrefixes.length > 0 && {
      allowSpoofedSourcePrefixes: endpoint.allowSpoofedSourcePrefixes,
    }),
    ...(endpoint.annotations !== undefined && { annotations: endpoint.annotations }),
    ...(endpoint.qosControls !== undefined && { qosControls: endpoint.qosControls }),
    ...(endpoint.dscp !== undefined && { qosPolicies: [{ dscp: endpoint.dscp }] }),
    ...(skipRedir !== undefined && { skipRedir }),
  };
}

/** `felix/calc/event_sequencer.go` ModelHostEndpointToProto. */
export function hostEndpointMessage(
  endpoint: ModelHostEndpoint,
  tiers: EndpointTiers,
): HostEndpoint {
  return {
    name: endpoint.name,
    profileIds: endpoint.profileIds,
    tiers: tiers.normal,
    untrackedTiers: tiers.untracked,
    preDnatTiers: tiers.preDnat,
    forwardTiers: tiers.forward,
    expectedIpv4Addrs: endpoint.expectedIpv4Addrs,
    expectedIpv6Addrs: endpoint.expectedIpv6Addrs,
    ...(endpoint.dscp !== undefined && { qosPolicies: [{ dscp: endpoint.dscp }] }),
  };
}

/** Limits of rate need the host's queues; a virtual machine's packets, its bridge. */
function skippedRedirection({
  labels,
  qosControls: qos = {},
}: ModelWorkloadEndpoint): WorkloadBpfSkipRedir | undefined {
  const virtualMachine = labels.get("kubevirt.io") === "virt-launcher";
  const ingress =
    virtualMachine || qos.ingressBandwidth !== undefined || qos.ingressPacketRate !== undefined;
  const egress = qos.egressBandwidth !== undefined || qos.egressPacketRate !== undefined;
  if (!ingress && !egress) return undefined;
  return { ...(ingress && { ingress }), ...(egress && { egress }) };
}
