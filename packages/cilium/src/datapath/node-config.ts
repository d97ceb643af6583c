import type { Ipv4Address, Ipv6Address, Mac, Prefix } from "@cnilab/net";
import type { MonitorAggregation } from "../hubble/monitor-aggregation.ts";

/** A device of the node that programs stand on: `eth0` (`NATIVE_DEV_MAC_BY_IFINDEX`, `IS_L3_DEV`). */
export interface NativeDevice {
  readonly ifindex: number;
  readonly mac: Mac;
  /** It has no Ethernet header. */
  readonly isL3: boolean;
}

/** Seconds that connections live (`CT_*`; agent flags `bpf-ct-timeout-*`, daemon/cmd/daemon_main.go). */
export interface CtTimeouts {
  /** `CT_CONNECTION_LIFETIME_TCP`, `_NONTCP` */
  readonly tcp: number;
  readonly any: number;
  /** `CT_SERVICE_LIFETIME_TCP`, `_NONTCP` */
  readonly serviceTcp: number;
  readonly serviceAny: number;
  /** `CT_SERVICE_CLOSE_REBALANCE` */
  readonly serviceCloseRebalance: number;
  /** `CT_SYN_TIMEOUT`, `CT_CLOSE_TIMEOUT` */
  readonly syn: number;
  readonly close: number;
  /** `CT_REPORT_INTERVAL` */
  readonly report: number;
}

export const DEFAULT_CT_TIMEOUTS: CtTimeouts = {
  tcp: 8000,
  any: 60,
  serviceTcp: 8000,
  serviceAny: 60,
  serviceCloseRebalance: 60,
  syn: 60,
  close: 10,
  report: 5,
};

/** The load balancer's own switches. */
export interface LoadBalancerConfig {
  /** `ENABLE_NODEPORT`: NodePorts, external addresses and all that comes with them. */
  readonly nodePort: boolean;
  /** `NODEPORT_PORT_MIN`, `_MAX`; addresses are translated to ports above. */
  readonly nodePortMin: number;
  readonly nodePortMax: number;
  readonly mode: "snat" | "dsr" | "hybrid";
  /** Services say for themselves how they are forwarded (`ENABLE_DSR_BYUSER`). */
  readonly modeAnnotation: boolean;
  readonly dsrDispatch: "opt" | "ipip" | "geneve";
  /** `ENABLE_DSR_ICMP_ERRORS`: who sends what is too long for DSR's header hears so. */
  readonly dsrIcmpErrors: boolean;
  /** Programs of the node may not bind ports of Services (`bind-protection`). */
  readonly bindProtection: boolean;
  readonly algorithm: "random" | "maglev";
  /** Services say for themselves (`LB_SELECTION_PER_SERVICE`). */
  readonly algorithmAnnotation: boolean;
  /** `LB_MAGLEV_LUT_SIZE`, `HASH_INIT4_SEED`, `HASH_INIT6_SEED` */
  readonly maglevTableSize: number;
  readonly jhashSeed4: number;
  readonly jhashSeed6: number;
  /** `ENABLE_SESSION_AFFINITY`, `ENABLE_SRC_RANGE_CHECK` */
  readonly sessionAffinity: boolean;
  readonly sourceRangeCheck: boolean;
  /** `ENABLE_PER_PACKET_LB`: programs of pods translate, as sockets do not, or not all. */
  readonly perPacket: boolean;
  /** `ENABLE_SOCKET_LB_FULL`, `ENABLE_SOCKET_LB_HOST_ONLY` */
  readonly socket: "off" | "full" | "host-only";
  /** `SERVICE_NO_BACKEND_RESPONSE` */
  readonly noBackendResponse: "reject" | "drop";
  /** `ENABLE_SERVICE_PROTOCOL_DIFFERENTIATION` */
  readonly protocolDifferentiation: boolean;
  /** `ENABLE_L7_LB` */
  readonly l7: boolean;
  /** Services of one cluster address are answered from outside, too. */
  readonly externalClusterIp: boolean;
}

/**
 * What the node's programs are compiled with (node_config.h and `.rodata.config` of v1.18): set before they are loaded,
 * and not again. What may change is in maps.
 */
export interface NodeConfig {
  readonly nodeName: string;
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  /** `TUNNEL_MODE` */
  readonly tunnelMode: boolean;
  /** `ENCAP_IFINDEX`: the tunnel device; 0 where there is none. */
  readonly encapIfindex: number;
  readonly tunnelProtocol: "vxlan" | "geneve";
  readonly tunnelPort: number;
  readonly mtu: number;
  /** `IPV4_GATEWAY`, `router_ipv6`: addresses of cilium_host. */
  readonly routerIpv4: Ipv4Address | undefined;
  readonly routerIpv6: Ipv6Address | undefined;
  /** The node's addresses, first of all the one that other nodes know it by. */
  readonly nodeIpv4: readonly Ipv4Address[];
  readonly nodeIpv6: readonly Ipv6Address[];
  /** `IPV4_DIRECT_ROUTING`, `IPV6_DIRECT_ROUTING`, `DIRECT_ROUTING_DEV_IFINDEX` */
  readonly directRoutingIpv4: Ipv4Address | undefined;
  readonly directRoutingIpv6: Ipv6Address | undefined;
  readonly directRoutingIfindex: number;
  /** `IPV4_MASQUERADE`, `IPV6_MASQUERADE` of each device, by ifindex. */
  readonly masqueradeIpv4: ReadonlyMap<number, Ipv4Address>;
  readonly masqueradeIpv6: ReadonlyMap<number, Ipv6Address>;
  /** `ENABLE_MASQUERADE_IPV4`, `_IPV6`: programs, not iptables. */
  readonly bpfMasqueradeIpv4: boolean;
  readonly bpfMasqueradeIpv6: boolean;
  /** `IPV4_SNAT_EXCLUSION_DST_CIDR`, `IPV6_…` */
  readonly snatExclusionIpv4: Prefix | undefined;
  readonly snatExclusionIpv6: Prefix | undefined;
  /** `ENABLE_IP_MASQ_AGENT_IPV4`, `_IPV6` */
  readonly ipMasqAgent: boolean;
  /** `service_loopback_ipv4`, and that of IPv6: the source of a pod that talks to itself through a service. */
  readonly serviceLoopbackIpv4: Ipv4Address;
  readonly serviceLoopbackIpv6: Ipv6Address;
  readonly ciliumHostIfindex: number;
  readonly ciliumHostMac: Mac;
  readonly ciliumNetIfindex: number;
  readonly ciliumNetMac: Mac;
  readonly devices: readonly NativeDevice[];
  /** `HOST_EP_ID` */
  readonly hostEndpointId: number;
  readonly lb: LoadBalancerConfig;
  readonly ct: CtTimeouts;
  /** `CONNTRACK_ACCOUNTING`: connections count their packets. */
  readonly conntrackAccounting: boolean;
  /** `POLICY_ACCOUNTING` */
  readonly policyAccounting: boolean;
  /** `ENABLE_HOST_ROUTING`: redirects in place of the node's stack. */
  readonly hostRouting: boolean;
  /** `ENABLE_ENDPOINT_ROUTES` */
  readonly endpointRoutes: boolean;
  /** `ENABLE_HOST_FIREWALL` */
  readonly hostFirewall: boolean;
  /** `POLICY_AUDIT_MODE` of the host's endpoint. */
  readonly policyAuditMode: boolean;
  /** `ENABLE_IDENTITY_MARK` */
  readonly identityMark: boolean;
  /** `secctx_from_ipcache` of the devices. */
  readonly secctxFromIpcache: boolean;
  /** `ALLOW_ICMP_FRAG_NEEDED`, `ENABLE_ICMP_RULE` */
  readonly allowIcmpFragNeeded: boolean;
  readonly icmpRules: boolean;
  /** `ENABLE_IPV4_FRAGMENTS`, `ENABLE_IPV6_FRAGMENTS` */
  readonly fragmentsTracking: boolean;
  /** `ENABLE_SCTP` */
  readonly sctp: boolean;
  /** `MONITOR_AGGREGATION` */
  readonly monitorAggregation: MonitorAggregation;
  /** `CT_REPORT_FLAGS`: TCP flags that are told of when they are new. */
  readonly reportFlags: number;
  /** `POLICY_VERDICT_NOTIFY`, `TRACE_NOTIFY`, `DROP_NOTIFY` */
  readonly policyVerdictNotify: boolean;
  readonly traceNotify: boolean;
  readonly dropNotify: boolean;
  /** `WG_IFINDEX` of cilium_wg0; 0 without WireGuard. */
  readonly wireguardIfindex: number;
  readonly wireguardPort: number;
  /** `ENABLE_NODE_ENCRYPTION` */
  readonly nodeEncryption: boolean;
  /** `STRICT_IPV4_NET` of `ENCRYPTION_STRICT_MODE`; absent without. */
  readonly encryptionStrict:
    | { readonly cidr: Prefix; readonly allowRemoteNodeIdentities: boolean }
    | undefined;
}

/** `NODEPORT_PORT_MIN` and so on of a node without kube-proxy's work. */
export const DEFAULT_LOAD_BALANCER: LoadBalancerConfig = {
  nodePort: false,
  nodePortMin: 30_000,
  nodePortMax: 32_767,
  mode: "snat",
  modeAnnotation: false,
  dsrDispatch: "opt",
  dsrIcmpErrors: false,
  bindProtection: true,
  algorithm: "random",
  algorithmAnnotation: false,
  maglevTableSize: 16_381,
  jhashSeed4: 0xcafe,
  jhashSeed6: 0xeb9f,
  sessionAffinity: false,
  sourceRangeCheck: false,
  perPacket: true,
  socket: "off",
  noBackendResponse: "reject",
  protocolDifferentiation: true,
  l7: false,
  externalClusterIp: false,
};
