export { BridgeNetwork, DEFAULT_NETWORK, type NetworkSpec } from "./bridge-network.ts";
export type { BridgeOptions, GatewayMode } from "./bridge-options.ts";
export type {
  ComposeAttachment,
  ComposeNetwork,
  ComposeNetworkMode,
  ComposeProject,
  ComposeService,
} from "./compose/compose-project.ts";
export { ComposeStack, type ServiceContainer } from "./compose/compose-stack.ts";
export type { ComposeSource } from "./compose/compose-text.ts";
export { parseEnvFile } from "./compose/env-file.ts";
export type { Environment } from "./compose/interpolation.ts";
export type { PublishedServicePort, ServicePort } from "./compose/port-syntax.ts";
export { type ComposeOptions, readCompose } from "./compose/read-compose.ts";
export * from "./container.ts";
export { type ContainerResolverOptions, containerResolver } from "./dns/container-resolver.ts";
export { EMBEDDED_DNS } from "./dns/embedded-resolver.ts";
export type { NameRecords } from "./dns/name-records.ts";
export type { DnsOverrides } from "./dns/resolv-conf-file.ts";
export { DockerError } from "./docker-error.ts";
export { type DaemonConfig, DockerHost, type SpecialNetwork } from "./docker-host.ts";
export type {
  FamilyConfig,
  Firewaller,
  FirewallerConfig,
  NetworkFirewall,
  NetworkRules,
  PortBinding,
} from "./firewall/firewaller.ts";
export { IptablesFirewaller } from "./firewall/iptables-firewaller.ts";
export { NftablesFirewaller } from "./firewall/nftables-firewaller.ts";
export { AddressPool } from "./ipam/address-pool.ts";
export {
  AddressSpace,
  LOCAL_SCOPE_DEFAULT_NETWORKS,
  type NetworkToSplit,
} from "./ipam/address-space.ts";
export { inspectContainer, networkSettings } from "./output/container-inspect.ts";
export { type ContainerListOptions, containerListText } from "./output/container-list.ts";
export {
  displayablePorts,
  type PortSummary,
  portMap,
  portsColumn,
  portText,
} from "./output/container-ports.ts";
export { inspectText } from "./output/docker-table.ts";
export { inspectNetwork } from "./output/network-inspect.ts";
export { type ListOptions, networkListText } from "./output/network-list.ts";
export { PortAllocator, type PortProtocol, type PortRange } from "./port-allocator.ts";
export { GATEWAY_BRIDGE, type IngressPort, IngressRules } from "./swarm/ingress-rules.ts";
