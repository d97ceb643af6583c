import type { CniOption } from "@cnilab/core";

/** Values of the chart that the model heeds, by their paths (install/kubernetes/cilium/values.yaml). */
export const HELM_OPTIONS: readonly CniOption[] = [
  choice("routingMode", ["tunnel", "native"], "tunnel", "how packets get from node to node"),
  choice("tunnelProtocol", ["vxlan", "geneve"], "vxlan", "encapsulation of tunnels"),
  integer("tunnelPort", 0, "UDP port of tunnels; 8472 for VXLAN and 6081 for Geneve unless given"),
  choice(
    "underlayProtocol",
    ["ipv4", "ipv6"],
    undefined,
    "family of the nodes' addresses that tunnels use",
  ),
  flag("autoDirectNodeRoutes", false, "with native routing, a route to each node on the same link"),
  flag("directRoutingSkipUnreachable", false, "no route, and no error, for nodes behind a router"),
  text(
    "ipv4NativeRoutingCIDR",
    "where IPv4 packets of pods are not masqueraded; the pods' range unless given",
  ),
  text("ipv6NativeRoutingCIDR", "the same for IPv6"),
  flag("endpointRoutes.enabled", false, "a route of its own for each pod"),
  choice(
    "ipam.mode",
    ["cluster-pool", "kubernetes", "multi-pool"],
    "cluster-pool",
    "where pods' addresses come from",
  ),
  text(
    "ipam.operator.clusterPoolIPv4PodCIDRList",
    "ranges that nodes' ranges are cut out of; the cluster's pod range unless given",
  ),
  integer("ipam.operator.clusterPoolIPv4MaskSize", undefined, "length of a node's IPv4 range"),
  text("ipam.operator.clusterPoolIPv6PodCIDRList", "the same for IPv6"),
  integer(
    "ipam.operator.clusterPoolIPv6MaskSize",
    undefined,
    "length of a node's IPv6 range; 120 unless given",
  ),
  text(
    "ipam.operator.autoCreateCiliumPodIPPools",
    'pools that the operator makes, as JSON: {"default":{"ipv4":{"cidrs":["10.1.0.0/16"],"maskSize":24}}}',
  ),
  text("ipam.multiPoolPreAllocation", "addresses that a node keeps ready of a pool, as default=8"),
  integer("MTU", 0, "of pods' devices; that of the nodes' devices unless given"),
  text(
    "devices",
    "the nodes' devices that programs are attached to; those of default routes and node addresses unless given",
  ),
  flag("kubeProxyReplacement", false, "Services by eBPF alone, without kube-proxy"),
  text(
    "kubeProxyReplacementHealthzBindAddr",
    "where the agent answers load balancers' health checks in kube-proxy's place, as 0.0.0.0:10256; nowhere unless given",
  ),
  flag(
    "socketLB.enabled",
    undefined,
    "translate Services where sockets connect; as kubeProxyReplacement unless given",
  ),
  flag("socketLB.hostNamespaceOnly", false, "not for sockets of pods"),
  choice(
    "loadBalancer.mode",
    ["snat", "dsr", "hybrid"],
    "snat",
    "how traffic from outside gets to another node",
  ),
  choice("loadBalancer.algorithm", ["random", "maglev"], "random", "how a backend is chosen"),
  choice(
    "loadBalancer.dsrDispatch",
    ["opt", "ipip", "geneve"],
    "opt",
    "how DSR tells the Service's address",
  ),
  flag("pmtuDiscovery.enabled", false, "tell clients whose packets are too long for DSR"),
  choice(
    "loadBalancer.acceleration",
    ["disabled", "native", "best-effort"],
    "disabled",
    "NodePort by XDP",
  ),
  flag("loadBalancer.serviceTopology", false, "heed topology hints"),
  integer("maglev.tableSize", 16381, "slots of a Service's Maglev table: a prime"),
  text("maglev.hashSeed", "12 bytes in base64"),
  flag("nodePort.enabled", false, "NodePort by eBPF beside kube-proxy"),
  text("nodePort.range", "node ports, as 30000,32767"),
  text("nodePort.directRoutingDevice", "the device by which nodes talk"),
  flag("nodePort.bindProtection", true, "no program of a node binds a node port"),
  flag("bpf.masquerade", false, "masquerade by eBPF; by iptables unless given"),
  flag(
    "bpf.hostLegacyRouting",
    undefined,
    "packets of pods go through the node's stack; unless eBPF can do without",
  ),
  choice(
    "bpf.monitorAggregation",
    ["none", "low", "medium", "maximum"],
    "medium",
    "how much Hubble is told",
  ),
  integer("bpf.policyMapMax", 16384, "entries of an endpoint's policy map"),
  integer("bpf.lbMapMax", 65536, "entries of each map of Services"),
  integer("bpf.ctTcpMax", undefined, "connections of TCP that are tracked"),
  integer("bpf.ctAnyMax", undefined, "other connections that are tracked"),
  integer("bpf.natMax", undefined, "entries of the NAT map"),
  integer("bpf.neighMax", undefined, "entries of the neighbour map"),
  flag("bpf.lbExternalClusterIP", false, "Cluster IPs answer from outside"),
  flag("bpf.lbSourceRangeAllTypes", false, "loadBalancerSourceRanges count for NodePorts, too"),
  flag("bpf.lbModeAnnotation", false, "Services choose their mode by annotation"),
  flag("bpf.lbAlgorithmAnnotation", false, "Services choose their algorithm by annotation"),
  flag("enableIPv4Masquerade", true, "hide pods behind their node where they leave the cluster"),
  flag("enableIPv6Masquerade", true, "the same for IPv6"),
  flag("ipMasqAgent.enabled", false, "do not masquerade to what ip-masq-agent has in its list"),
  text("ipMasqAgent.config.nonMasqueradeCIDRs", "its list"),
  flag("ipMasqAgent.config.masqLinkLocal", false, "masquerade to 169.254.0.0/16"),
  flag("ipMasqAgent.config.masqLinkLocalIPv6", false, "masquerade to fe80::/10"),
  choice(
    "policyEnforcementMode",
    ["default", "always", "never"],
    "default",
    "what pods without policies may do",
  ),
  flag("policyAuditMode", false, "tell of what policies deny, and let it pass"),
  text("policyCIDRMatchMode", "nodes: CIDR rules select nodes, too"),
  flag("hostFirewall.enabled", false, "policies for nodes"),
  flag("encryption.enabled", false, "encrypt what goes from node to node"),
  choice("encryption.type", ["wireguard", "ipsec"], "ipsec", "by what; ipsec is not modelled"),
  flag("encryption.nodeEncryption", false, "also what nodes themselves send"),
  text("encryption.wireguard.persistentKeepalive", "as 25s; none unless given"),
  flag("encryption.strictMode.enabled", false, "drop what would leave unencrypted"),
  text("encryption.strictMode.cidr", "of pods that this is for"),
  flag("encryption.strictMode.allowRemoteNodeIdentities", false, "but not for nodes"),
  flag("l7Proxy", true, "policies of HTTP and DNS"),
  flag("sctp.enabled", false, "Services and policies for SCTP"),
  flag("healthChecking", true, "nodes look after each other"),
  flag("endpointHealthChecking.enabled", true, "an endpoint for that on each node"),
  flag(
    "installNoConntrackIptablesRules",
    false,
    "no netfilter tracking for pods; with native routing",
  ),
  flag("iptablesRandomFully", false, "random ports where iptables masquerades"),
  choice(
    "serviceNoBackendResponse",
    ["reject", "drop"],
    "reject",
    "what clients of a Service without backends get",
  ),
  flag("svcSourceRangeCheck", true, "heed loadBalancerSourceRanges"),
  text("labels", "labels that identities are made of"),
  text(
    "conntrackGCInterval",
    "between looks for connections that are over; as it finds them unless given",
  ),
  text("conntrackGCMaxInterval", "between looks for connections that are over at most"),
  text("identityChangeGracePeriod", "before an endpoint uses a new identity; 5s unless given"),
  text("cluster.name", "of this cluster; default unless given"),
  integer(
    "cluster.id",
    0,
    "of this cluster; other than 0 only with ClusterMesh, which is not modelled",
  ),
  integer("dnsProxy.minTtl", 0, "seconds that answers count at least"),
  integer("dnsProxy.endpointMaxIpPerHostname", 1000, "addresses of a name that are kept"),
  text(
    "dnsProxy.proxyResponseMaxDelay",
    "how long an answer waits for policies; 100ms unless given",
  ),
  choice(
    "dnsProxy.dnsRejectResponseCode",
    ["refused", "nameError"],
    "refused",
    "what denied questions get",
  ),
  flag("hubble.enabled", true, "flows for `observe`"),
  flag("bpf.enableTCX", true, "attach programs by TCX"),
  flag("ipv4.enabled", undefined, "as the cluster has IPv4"),
  flag("ipv6.enabled", undefined, "as the cluster has IPv6"),
];

function choice(
  key: string,
  values: readonly string[],
  preset: string | undefined,
  description: string,
): CniOption {
  return {
    key,
    type: "string",
    values,
    description,
    ...(preset !== undefined && { default: preset }),
  };
}

function text(key: string, description: string): CniOption {
  return { key, type: "string", description };
}

function flag(key: string, preset: boolean | undefined, description: string): CniOption {
  return { key, type: "boolean", description, ...(preset !== undefined && { default: preset }) };
}

function integer(key: string, preset: number | undefined, description: string): CniOption {
  return { key, type: "integer", description, ...(preset !== undefined && { default: preset }) };
}
