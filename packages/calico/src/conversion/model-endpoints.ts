import { formatIp, tryParseIp } from "@cnilab/net";
import type { HostEndpoint } from "../api/v3/host-endpoint.ts";
import {
  LABEL_SERVICE_ACCOUNT,
  NAMESPACE_LABEL_PREFIX,
  SERVICE_ACCOUNT_LABEL_PREFIX,
} from "./labels.ts";
import type {
  IpNat,
  ModelHostEndpoint,
  ModelWorkloadEndpoint,
  WorkloadEndpointKey,
} from "./model.ts";
import { normalisedNets } from "./networks.ts";
import { ruleProtocol } from "./protocols.ts";
import { egressDscp } from "./qos-controls.ts";
import type { WorkloadEndpointObject } from "./workload-endpoint.ts";

/** What Felix knows a workload endpoint by (`libcalico-go/lib/names/workloadendpoint.go`). */
export function workloadEndpointKey({
  metadata,
  spec,
}: WorkloadEndpointObject): WorkloadEndpointKey {
  return {
    hostname: spec.node,
    orchestratorId: spec.orchestrator,
    workloadId: `${metadata.namespace}/${spec.pod}`,
    endpointId: spec.endpoint,
  };
}

/** `updateprocessors/workloadendpointprocessor.go`: nothing without an address, as there is nothing to render. */
export function modelWorkloadEndpoint({
  metadata,
  spec,
}: WorkloadEndpointObject): ModelWorkloadEndpoint | undefined {
  if (spec.ipNetworks.length === 0) return undefined;
  const nets = normalisedNets(spec.ipNetworks);
  const nats = (spec.ipNATs ?? []).flatMap(({ internalIP, externalIP }): readonly IpNat[] =>
    tryParseIp(internalIP) === undefined || tryParseIp(externalIP) === undefined
      ? []
      : [{ intIp: internalIP, extIp: externalIP }],
  );
  // No pod may pretend to be in another namespace.
  const labels = new Map(
    Object.entries(metadata.labels ?? {}).filter(
      ([key]) =>
        !key.startsWith(NAMESPACE_LABEL_PREFIX) && !key.startsWith(SERVICE_ACCOUNT_LABEL_PREFIX),
    ),
  );
  // Here, too, as the name of a service account may be longer than a label's value.
  if (spec.serviceAccountName !== undefined)
    labels.set(LABEL_SERVICE_ACCOUNT, spec.serviceAccountName);
  const { dscp, ...limits } = spec.qosControls ?? {};
  return {
    state: "active",
    name: spec.interfaceName,
    profileIds: spec.profiles,
    ipv4Nets: nets.filter((net) => !isIpv6(net)),
    ipv6Nets: nets.filter(isIpv6),
    ipv4Nat: nats.filter(({ intIp }) => !isIpv6(intIp)),
    ipv6Nat: nats.filter(({ intIp }) => isIpv6(intIp)),
    labels,
    ports: (spec.ports ?? [])
      .filter(({ name }) => name !== "")
      .map(({ name, protocol, port }) => ({ name, protocol: ruleProtocol(protocol), port })),
    allowSpoofedSourcePrefixes: normalisedNets(spec.allowSpoofedSourcePrefixes),
    ...(metadata.annotations !== undefined && { annotations: metadata.annotations }),
    ...(spec.qosControls !== undefined && { qosControls: limits }),
    ...(dscp !== undefined && { dscp }),
  };
}

/** `updateprocessors/hostendpointprocessor.go`. */
export function modelHostEndpoint({ metadata, spec }: HostEndpoint): ModelHostEndpoint {
  const addresses = (spec.expectedIPs ?? []).flatMap((text) => {
    const ip = tryParseIp(text);
    return ip === undefined ? [] : [formatIp(ip)];
  });
  const dscp = egressDscp(metadata.annotations ?? {});
  return {
    hostname: spec.node,
    name: spec.interfaceName ?? "",
    expectedIpv4Addrs: addresses.filter((ip) => !isIpv6(ip)),
    expectedIpv6Addrs: addresses.filter(isIpv6),
    labels: new Map(Object.entries(metadata.labels ?? {})),
    profileIds: spec.profiles ?? [],
    ports: (spec.ports ?? []).map(({ name, protocol, port }) => ({
      name,
      protocol: ruleProtocol(protocol),
      port,
    })),
    ...(dscp !== undefined && { dscp }),
  };
}

function isIpv6(text: string): boolean {
  return text.includes(":");
}
