import { formatIp, type IpAddress, type IpFamily, type Prefix } from "@cnilab/net";

/** How the daemon is set up (daemon/libnetwork/drivers/bridge/internal/firewaller). */
export interface FirewallerConfig {
  readonly families: readonly IpFamily[];
  /** `--userland-proxy=false`: the kernel alone brings packets back to where they came from. */
  readonly hairpin: boolean;
  /** `--allow-direct-routing`: the addresses of containers may be reached from outside. */
  readonly allowDirectRouting: boolean;
}

/** A bridge network's part for one family. */
export interface FamilyConfig {
  readonly prefix: Prefix;
  /** `host_ipv4`: the source of what leaves; that of the interface where it is absent. */
  readonly hostIp?: IpAddress;
  /** Gateway mode `routed`: no NAT. */
  readonly routed: boolean;
  /** Gateway mode `nat-unprotected`: ports that are not published are open as well. */
  readonly unprotected: boolean;
}

export interface NetworkRules {
  /** Name of the bridge device. */
  readonly bridge: string;
  readonly internal: boolean;
  /** `enable_icc`: containers of the network reach each other. */
  readonly icc: boolean;
  readonly masquerade: boolean;
  readonly trustedHostInterfaces: readonly string[];
  readonly ipv4?: FamilyConfig;
  readonly ipv6?: FamilyConfig;
}

/** A published port. */
export interface PortBinding {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly address: IpAddress;
  readonly port: number;
  readonly hostIp: IpAddress;
  /** 0 where nothing is translated: in gateway mode `routed`. */
  readonly hostPort: number;
}

/** A network's rules, once they are there. */
export interface NetworkFirewall {
  addEndpoint(address: IpAddress): void;
  removeEndpoint(address: IpAddress): void;
  addPort(binding: PortBinding): void;
  removePort(binding: PortBinding): void;
  /** Takes away the network's own rules; those of ports and endpoints are gone by then. */
  remove(): void;
}

/** Programs the host's packet filter for bridge networks. */
export interface Firewaller {
  addNetwork(rules: NetworkRules): NetworkFirewall;
}

/** Of the family's network; `undefined` where it has none. */
export function familyConfig(rules: NetworkRules, address: IpAddress): FamilyConfig | undefined {
  return typeof address === "number" ? rules.ipv4 : rules.ipv6;
}

export function isLoopback4(address: IpAddress): boolean {
  return typeof address === "number" && address >>> 24 === 127;
}

/** Ends of different families are docker-proxy's affair. */
export function isProxied({ address, hostIp }: PortBinding): boolean {
  return typeof address !== typeof hostIp;
}

/** `0.0.0.0` or `::`: any of the host's addresses. */
export function isUnspecified(address: IpAddress): boolean {
  return address === 0 || formatIp(address) === "::";
}
