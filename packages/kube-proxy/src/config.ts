import type { SchedulerName } from "@cnilab/linux";

/** What counts as traffic of this node's own pods, which keeps its source address (`--detect-local-mode`). */
export type DetectLocalMode =
  | "ClusterCIDR"
  | "NodeCIDR"
  | "BridgeInterface"
  | "InterfaceNamePrefix";

/** How kube-proxy programs Services (`--proxy-mode`). */
export type KubeProxyMode = "iptables" | "nftables" | "ipvs";

/** Settings of kube-proxy that change what it programs, named as in KubeProxyConfiguration. */
export interface KubeProxyConfig {
  readonly mode: KubeProxyMode;
  readonly detectLocalMode: DetectLocalMode;
  /** For `ClusterCIDR`: pod ranges, at most one of each family, in CIDR notation. */
  readonly clusterCIDRs: readonly string[];
  /** For `BridgeInterface`. */
  readonly bridgeInterface: string;
  /** For `InterfaceNamePrefix`. */
  readonly interfaceNamePrefix: string;
  /** Masquerade everything that goes to a cluster IP. */
  readonly masqueradeAll: boolean;
  /** Bit of the packet mark that asks for masquerading, 0 to 31. */
  readonly masqueradeBit: number;
  /** Node ports answer on 127.0.0.1 as well (iptables mode, IPv4). */
  readonly localhostNodePorts: boolean;
  /**
   * CIDRs of the addresses that node ports answer on, or `primary`; empty for all in iptables and IPVS
   * modes, for `primary` in nftables mode.
   */
  readonly nodePortAddresses: readonly string[];
  /** IPVS mode: how a virtual server chooses among its endpoints (`--ipvs-scheduler`). */
  readonly ipvsScheduler: SchedulerName;
  /** IPVS mode: the node does not answer ARP for services' addresses (`--ipvs-strict-arp`). */
  readonly ipvsStrictARP: boolean;
  /** IPVS mode: ranges of addresses whose virtual servers are left alone (`--ipvs-exclude-cidrs`). */
  readonly ipvsExcludeCIDRs: readonly string[];
  /** Virtual milliseconds that lie between two syncs at least. */
  readonly minSyncPeriod: number;
}

/** The defaults of kube-proxy v1.35. */
export const DEFAULT_CONFIG: KubeProxyConfig = {
  mode: "iptables",
  detectLocalMode: "ClusterCIDR",
  clusterCIDRs: [],
  bridgeInterface: "",
  interfaceNamePrefix: "",
  masqueradeAll: false,
  masqueradeBit: 14,
  localhostNodePorts: true,
  nodePortAddresses: [],
  ipvsScheduler: "rr",
  ipvsStrictARP: false,
  ipvsExcludeCIDRs: [],
  minSyncPeriod: 1000,
};

/** Where node ports answer, with each mode's default (cmd/kube-proxy/app/server_linux.go `platformApplyDefaults`). */
export function nodePortAddresses({
  mode,
  nodePortAddresses: given,
}: KubeProxyConfig): readonly string[] {
  return given.length === 0 && mode === "nftables" ? ["primary"] : given;
}
