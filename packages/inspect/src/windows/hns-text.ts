import { formatOrigin } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import {
  type HcnNetworkPolicy,
  type HostComputeEndpoint,
  type HostComputeLoadBalancer,
  type HostComputeNetwork,
  type HostNetworkService,
  isRemote,
  LoadBalancerFlagsDSR,
  WindowsMachine,
} from "@cnilab/windows";
import type { JsonValue } from "../json.ts";

// The layout follows what Microsoft shows of `hnsdiag list`; no output of a real one was at hand to compare with.

/** `hnsdiag list networks`, and the remote subnets of overlays. */
export function hnsNetworksText(netns: NetNamespace): string {
  return all(netns, (hns) => hns.listNetworks())
    .map(networkText)
    .join("");
}

/** `hnsdiag list endpoints`. */
export function hnsEndpointsText(netns: NetNamespace): string {
  const networks = new Map(all(netns, (hns) => hns.listNetworks()).map((n) => [n.ID, n.Name]));
  return all(netns, (hns) => hns.listEndpoints())
    .map((endpoint) => endpointText(endpoint, networks.get(endpoint.HostComputeNetwork) ?? ""))
    .join("");
}

/** `hnsdiag list loadbalancers`, with what that shows under `-d` only: ports, source, flags. */
export function hnsLoadBalancersText(netns: NetNamespace): string {
  return all(netns, (hns) => hns.listLoadBalancers())
    .map(loadBalancerText)
    .join("");
}

/** `hnsdiag list networks -d`. */
export function hnsNetworksJson(netns: NetNamespace): JsonValue {
  return asJson(all(netns, (hns) => hns.listNetworks()));
}

/** `hnsdiag list endpoints -d`. */
export function hnsEndpointsJson(netns: NetNamespace): JsonValue {
  return asJson(all(netns, (hns) => hns.listEndpoints()));
}

/** `hnsdiag list loadbalancers -d`. */
export function hnsLoadBalancersJson(netns: NetNamespace): JsonValue {
  const objects = all(netns, (hns) => hns.listLoadBalancers());
  return asJson(objects.map(({ origin: _, ...object }) => object));
}

function all<T>(netns: NetNamespace, list: (hns: HostNetworkService) => T[]): T[] {
  const { kernel } = netns;
  return kernel instanceof WindowsMachine ? list(kernel.hns) : [];
}

function asJson(objects: readonly unknown[]): JsonValue {
  return JSON.parse(JSON.stringify(objects)) as JsonValue;
}

function networkText({ ID, Name, Type, Ipams, Policies }: HostComputeNetwork): string {
  const subnets = Ipams.flatMap(({ Subnets }) => Subnets);
  return block(`Network : ${ID}`, [
    ["Name", Name],
    ["Type", Type],
    ...subnets.flatMap(({ IpAddressPrefix, Routes }): Row[] => [
      ["Subnet Address", IpAddressPrefix],
      ["Gateway", Routes[0]?.NextHop ?? ""],
    ]),
    ...Policies.flatMap(policyRow),
  ]);
}

function policyRow(policy: HcnNetworkPolicy): Row[] {
  switch (policy.Type) {
    case "ProviderAddress":
      return [["Management IP", policy.Settings.ProviderAddress]];
    case "DrMacAddress":
      return [["DR MAC", policy.Settings.Address]];
    case "RemoteSubnetRoute": {
      const { DestinationPrefix, ProviderAddress, IsolationId, DistributedRouterMacAddress } =
        policy.Settings;
      const how = `VSID ${IsolationId}, DR MAC ${DistributedRouterMacAddress}`;
      return [["Remote Subnet", `${DestinationPrefix} at ${ProviderAddress}, ${how}`]];
    }
    default:
      return [];
  }
}

function endpointText(endpoint: HostComputeEndpoint, network: string): string {
  const { ID, Name, MacAddress, IpConfigurations } = endpoint;
  return block(`Endpoint : ${ID}`, [
    ["Name", Name],
    ["Virtual Network", network],
    ...IpConfigurations.map(({ IpAddress }): Row => ["IP Address", IpAddress]),
    ["MAC Address", MacAddress],
    ["Remote", isRemote(endpoint) ? "True" : "False"],
  ]);
}

function loadBalancerText(object: HostComputeLoadBalancer): string {
  const { ID, FrontendVIPs, HostComputeEndpoints, PortMappings, SourceVIP, Flags, origin } = object;
  return block(`Load Balancer : ${ID}`, [
    ["Virtual IPs", FrontendVIPs.join(", ") || "(node)"],
    ...list("Direct IP IDs", HostComputeEndpoints),
    ...PortMappings.map(
      (m): Row => ["Ports", `${m.ExternalPort} to ${m.InternalPort}, protocol ${m.Protocol}`],
    ),
    ["Source VIP", SourceVIP || "(node)"],
    ["DSR", (Flags & LoadBalancerFlagsDSR) === 0 ? "False" : "True"],
    ...(origin === undefined ? [] : [["For", formatOrigin(origin)] as const]),
  ]);
}

type Row = readonly [name: string, value: string];

function list(name: string, values: readonly string[]): Row[] {
  return values.map((value, i) => [i === 0 ? name : "", value]);
}

function block(title: string, rows: readonly Row[]): string {
  const lines = rows.map(([name, value]) =>
    name === "" ? `${" ".repeat(23)}${value}` : `    ${name.padEnd(16)} : ${value}`,
  );
  return `${[title, ...lines].join("\n")}\n\n`;
}
