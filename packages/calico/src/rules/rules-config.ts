import type { ChainBackend } from "../names/chain-names.ts";
import { allocateMarkBits, type MarkBits } from "./mark-bits.ts";

/** A port that stays open on host endpoints, whatever policy says. */
export interface ProtoPort {
  readonly protocol: string;
  readonly port: number;
  /** Where the other end must be. */
  readonly net?: string;
}

/** What Felix's chains depend on besides policies and endpoints (`felix/rules/rule_defs.go` Config). */
export interface RulesConfig {
  readonly backend: ChainBackend;
  /** Starts of workload interfaces' names. */
  readonly interfacePrefixes: readonly string[];
  readonly marks: MarkBits;
  readonly kubeNodePortRanges: readonly { readonly first: number; readonly last: number }[];
  /** kube-proxy runs in mode IPVS. */
  readonly ipvs: boolean;
  readonly vxlanEnabled: boolean;
  readonly vxlanEnabledV6: boolean;
  readonly vxlanPort: number;
  readonly ipipEnabled: boolean;
  /** Addresses of this node's tunnel devices, once it has them. */
  readonly ipipTunnelAddress?: string;
  readonly vxlanTunnelAddress?: string;
  readonly vxlanTunnelAddressV6?: string;
  readonly allowVxlanPacketsFromWorkloads: boolean;
  readonly allowIpipPacketsFromWorkloads: boolean;
  readonly wireguardEnabled: boolean;
  readonly wireguardEnabledV6: boolean;
  readonly wireguardInterfaceName: string;
  readonly wireguardInterfaceNameV6: string;
  readonly wireguardListeningPort: number;
  readonly wireguardListeningPortV6: number;
  readonly wireguardHostEncryption: boolean;
  /** May have %t, %k, %n, %p: tier, kind, name, and name with namespace. */
  readonly logPrefix: string;
  /** As `10/second`; none if empty. */
  readonly logActionRateLimit: string;
  readonly logActionRateLimitBurst: number;
  readonly endpointToHostAction: "DROP" | "RETURN" | "ACCEPT" | "REJECT";
  readonly filterAllowAction: "ACCEPT" | "RETURN";
  readonly mangleAllowAction: "ACCEPT" | "RETURN";
  readonly filterDenyAction: "DROP" | "REJECT";
  readonly failsafeInbound: readonly ProtoPort[];
  readonly failsafeOutbound: readonly ProtoPort[];
  readonly disableConntrackInvalid: boolean;
  readonly natPortRange?: { readonly first: number; readonly last: number };
  /** Masquerades only what leaves there; any interface if empty. */
  readonly natOutgoingInterfaceFilter: string;
  /** A fixed source in place of the interface's. */
  readonly natOutgoingAddress?: string;
  readonly natOutgoingExclusions: "IPPoolsOnly" | "IPPoolsAndHostIPs";
  readonly serviceLoopPrevention: "Drop" | "Reject" | "Disabled";
}

const FAILSAFE_TCP = [179, 2379, 2380, 5473, 6443, 6666, 6667];

/** What Felix has without any FelixConfiguration, and without tunnels (`felix/config/config_params.go`). */
export const DEFAULT_RULES_CONFIG: RulesConfig = {
  backend: "iptables",
  interfacePrefixes: ["cali"],
  marks: allocateMarkBits(0xffff0000, { wireguard: false, ipvs: false }),
  kubeNodePortRanges: [{ first: 30000, last: 32767 }],
  ipvs: false,
  vxlanEnabled: false,
  vxlanEnabledV6: false,
  vxlanPort: 4789,
  ipipEnabled: false,
  allowVxlanPacketsFromWorkloads: false,
  allowIpipPacketsFromWorkloads: false,
  wireguardEnabled: false,
  wireguardEnabledV6: false,
  wireguardInterfaceName: "wireguard.cali",
  wireguardInterfaceNameV6: "wg-v6.cali",
  wireguardListeningPort: 51820,
  wireguardListeningPortV6: 51821,
  wireguardHostEncryption: false,
  logPrefix: "calico-packet",
  logActionRateLimit: "",
  logActionRateLimitBurst: 5,
  endpointToHostAction: "DROP",
  filterAllowAction: "ACCEPT",
  mangleAllowAction: "ACCEPT",
  filterDenyAction: "DROP",
  failsafeInbound: [
    { protocol: "tcp", port: 22 },
    { protocol: "udp", port: 68 },
    ...FAILSAFE_TCP.map((port) => ({ protocol: "tcp", port })),
  ],
  failsafeOutbound: [
    { protocol: "udp", port: 53 },
    { protocol: "udp", port: 67 },
    ...FAILSAFE_TCP.map((port) => ({ protocol: "tcp", port })),
  ],
  disableConntrackInvalid: false,
  natOutgoingInterfaceFilter: "",
  natOutgoingExclusions: "IPPoolsOnly",
  serviceLoopPrevention: "Drop",
};
