import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import type { ChainBackend } from "../names/chain-names.ts";
import { allocateMarkBits } from "../rules/mark-bits.ts";
import { DEFAULT_RULES_CONFIG, type ProtoPort, type RulesConfig } from "../rules/rules-config.ts";

/** What Felix sees of its node that chains depend on. */
export interface NodeFacts {
  /** kube-proxy's device for mode IPVS is there. */
  readonly ipvs: boolean;
  /** kube-proxy programs nftables. */
  readonly kubeProxyNftables: boolean;
  /** Which kinds of pools there are. */
  readonly encapsulation: {
    readonly ipip: boolean;
    readonly vxlan: boolean;
    readonly vxlanV6: boolean;
  };
  /** Addresses of its tunnels, once it has them. */
  readonly ipipTunnelAddress?: string;
  readonly vxlanTunnelAddress?: string;
  readonly vxlanTunnelAddressV6?: string;
}

/** What Felix's policy part is configured with. */
export interface FelixConfig {
  readonly rules: RulesConfig;
  readonly maxIpsetSize: number;
  /** Where its jumps stand in the built-in chains. */
  readonly chainInsertMode: "insert" | "append";
  readonly floatingIps: boolean;
  /** Whether pods may be allowed to send from addresses that are not theirs. */
  readonly sourceSpoofing: boolean;
  readonly externalNodes: readonly string[];
  readonly ipv6: boolean;
}

/**
 * @param specs the weakest first
 * @param environment what the DaemonSet sets, which is stronger than any object
 */
export function felixConfig(
  specs: readonly FelixConfigurationSpec[],
  environment: FelixConfigurationSpec,
  facts: NodeFacts,
): FelixConfig {
  const c: FelixConfigurationSpec = Object.assign({}, ...specs, environment);
  return {
    rules: rulesConfig(c, facts),
    maxIpsetSize: c.maxIpsetSize ?? 1048576,
    chainInsertMode: is(c.chainInsertMode, "append") ? "append" : "insert",
    floatingIps: is(c.floatingIPs, "Enabled"),
    sourceSpoofing: usesSourceSpoofing(c),
    externalNodes: c.externalNodesList ?? [],
    ipv6: c.ipv6Support ?? true,
  };
}

/** Whether pods may ask to send from addresses that are not theirs. */
export function usesSourceSpoofing({ workloadSourceSpoofing }: FelixConfigurationSpec): boolean {
  return is(workloadSourceSpoofing, "Any");
}

function backendOf(c: FelixConfigurationSpec, facts: NodeFacts): ChainBackend {
  switch (c.nftablesMode?.toLowerCase()) {
    case "enabled":
      return "nftables";
    case "disabled":
      return "iptables";
    default:
      return facts.kubeProxyNftables ? "nftables" : "iptables";
  }
}

function rulesConfig(c: FelixConfigurationSpec, facts: NodeFacts): RulesConfig {
  const d = DEFAULT_RULES_CONFIG;
  const backend = backendOf(c, facts);
  const nftables = backend === "nftables";
  const ofBackend = <T>(forNftables: T, forIptables: T) => (nftables ? forNftables : forIptables);
  const wireguardEnabled = c.wireguardEnabled ?? false;
  const wireguardEnabledV6 = c.wireguardEnabledV6 ?? false;
  const range = c.natPortRange === undefined ? undefined : portRange(c.natPortRange);
  const { encapsulation: encap } = facts;
  return {
    backend,
    interfacePrefixes: (c.interfacePrefix ?? "cali").split(","),
    marks: allocateMarkBits(ofBackend(c.nftablesMarkMask, c.iptablesMarkMask) ?? 0xffff0000, {
      wireguard: wireguardEnabled || wireguardEnabledV6,
      ipvs: facts.ipvs,
    }),
    kubeNodePortRanges: c.kubeNodePortRanges?.map(portRange) ?? d.kubeNodePortRanges,
    ipvs: facts.ipvs,
    vxlanEnabled: c.vxlanEnabled ?? encap.vxlan,
    // Where it is said at all, it counts for both families; IPv6 needs a pool as well.
    vxlanEnabledV6: c.vxlanEnabled === false ? false : encap.vxlanV6,
    vxlanPort: c.vxlanPort ?? d.vxlanPort,
    ipipEnabled: c.ipipEnabled ?? encap.ipip,
    ...only("ipipTunnelAddress", facts.ipipTunnelAddress),
    ...only("vxlanTunnelAddress", facts.vxlanTunnelAddress),
    ...only("vxlanTunnelAddressV6", facts.vxlanTunnelAddressV6),
    allowVxlanPacketsFromWorkloads: c.allowVXLANPacketsFromWorkloads ?? false,
    allowIpipPacketsFromWorkloads: c.allowIPIPPacketsFromWorkloads ?? false,
    wireguardEnabled,
    wireguardEnabledV6,
    wireguardInterfaceName: c.wireguardInterfaceName ?? d.wireguardInterfaceName,
    wireguardInterfaceNameV6: c.wireguardInterfaceNameV6 ?? d.wireguardInterfaceNameV6,
    wireguardListeningPort: c.wireguardListeningPort ?? d.wireguardListeningPort,
    wireguardListeningPortV6: c.wireguardListeningPortV6 ?? d.wireguardListeningPortV6,
    wireguardHostEncryption: c.wireguardHostEncryptionEnabled ?? false,
    logPrefix: c.logPrefix ?? d.logPrefix,
    logActionRateLimit: c.logActionRateLimit ?? "",
    logActionRateLimitBurst: c.logActionRateLimitBurst ?? d.logActionRateLimitBurst,
    endpointToHostAction: oneOf(
      c.defaultEndpointToHostAction,
      ["DROP", "RETURN", "ACCEPT"],
      d.endpointToHostAction,
    ),
    filterAllowAction: oneOf(
      ofBackend(c.nftablesFilterAllowAction, c.iptablesFilterAllowAction),
      ["ACCEPT", "RETURN"],
      d.filterAllowAction,
    ),
    mangleAllowAction: oneOf(
      ofBackend(c.nftablesMangleAllowAction, c.iptablesMangleAllowAction),
      ["ACCEPT", "RETURN"],
      d.mangleAllowAction,
    ),
    filterDenyAction: oneOf(
      ofBackend(c.nftablesFilterDenyAction, c.iptablesFilterDenyAction),
      ["DROP", "REJECT"],
      d.filterDenyAction,
    ),
    failsafeInbound: c.failsafeInboundHostPorts?.map(protoPort) ?? d.failsafeInbound,
    failsafeOutbound: c.failsafeOutboundHostPorts?.map(protoPort) ?? d.failsafeOutbound,
    disableConntrackInvalid: c.disableConntrackInvalidCheck ?? false,
    ...(range === undefined ? {} : { natPortRange: range }),
    natOutgoingInterfaceFilter: c.iptablesNATOutgoingInterfaceFilter ?? "",
    ...only("natOutgoingAddress", c.natOutgoingAddress),
    natOutgoingExclusions: c.natOutgoingExclusions ?? d.natOutgoingExclusions,
    serviceLoopPrevention: oneOf(
      c.serviceLoopPrevention,
      ["Drop", "Reject", "Disabled"],
      d.serviceLoopPrevention,
    ),
  };
}

function is(value: string | undefined, wanted: string): boolean {
  return value?.toLowerCase() === wanted.toLowerCase();
}

/** Felix takes such words in any case. */
function oneOf<T extends string>(value: string | undefined, all: readonly T[], otherwise: T): T {
  return all.find((each) => is(value, each)) ?? otherwise;
}

function only<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return (value === undefined || value === "" ? {} : { [key]: value }) as { [P in K]?: string };
}

function protoPort({
  protocol = "tcp",
  port,
  net,
}: {
  readonly protocol?: string;
  readonly port: number;
  readonly net?: string;
}): ProtoPort {
  return { protocol: protocol.toLowerCase(), port, ...only("net", net) };
}

/** `80`, or `80:90`. */
function portRange(port: number | string): { readonly first: number; readonly last: number } {
  const [first = 0, last = first] = String(port).split(":").map(Number);
  return { first, last };
}
