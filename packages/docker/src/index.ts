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
export { GATEWAY_BRIDGE, type IngressPort, IngressRules } from "./swarm/ingress-rules.ts";
