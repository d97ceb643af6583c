import type { IpFamily } from "@cnilab/net";

/** The name of kube-proxy's table, one in each family. */
export const TABLE = "kube-proxy";

/** The words of nft that differ between families. */
export interface FamilyWords {
  /** Of tables and of header fields. */
  readonly ip: "ip" | "ip6";
  readonly addressType: "ipv4_addr" | "ipv6_addr";
  /** Addresses on which no node port answers in this mode. */
  readonly loopback: string;
}

export const FAMILY_WORDS: Readonly<Record<IpFamily, FamilyWords>> = {
  4: { ip: "ip", addressType: "ipv4_addr", loopback: "127.0.0.0/8" },
  6: { ip: "ip6", addressType: "ipv6_addr", loopback: "::1" },
};

/** The sets and maps that all Services share. */
export type SharedSet =
  | "cluster-ips"
  | "service-ips"
  | "service-nodeports"
  | "no-endpoint-services"
  | "no-endpoint-nodeports"
  | "firewall-ips";

/** What of the configuration the base rules depend on. */
export interface BaseOptions {
  /** The mark that asks for masquerading. */
  readonly mark: number;
  /** Node ports answer on all of the node's addresses, and not on those in set `nodeport-ips`. */
  readonly allNodePortIps: boolean;
  /** Of the family; other addresses in them are no Service's. */
  readonly serviceCidrs: readonly string[];
}

/**
 * The table without any Service: base chains, their jumps, and the empty sets and maps by which packets
 * find their Service (pkg/proxy/nftables/proxier.go `setupNFTables`, v1.35).
 */
export function baseRuleset(family: IpFamily, options: BaseOptions): string {
  const { ip, addressType, loopback } = FAMILY_WORDS[family];
  const { allNodePortIps, serviceCidrs } = options;
  const mark = `0x${options.mark.toString(16)}`;
  const service = `${ip} daddr . meta l4proto . th dport vmap`;
  const nodePort = `${allNodePortIps ? `${ip} daddr != ${loopback}` : `${ip} daddr @nodeport-ips`} meta l4proto . th dport vmap`;
  const serviceMap = `type ${addressType} . inet_proto . inet_service : verdict`;
  const nodePortMap = "type inet_proto . inet_service : verdict";
  const unallocated =
    serviceCidrs.length === 0
      ? ""
      : `${ip} daddr { ${serviceCidrs.join(", ")} } drop comment "Drop traffic to unallocated ClusterIPs"`;
  const nodePortIps = `set nodeport-ips { type ${addressType}; comment "IPs that accept NodePort traffic"; }`;
  return `table ${ip} ${TABLE} {
  comment "rules for kube-proxy"
  set cluster-ips { type ${addressType}; comment "Active ClusterIPs"; }
  ${allNodePortIps ? "" : nodePortIps}
  map no-endpoint-services { ${serviceMap}; comment "vmap to drop or reject packets to services with no endpoints"; }
  map no-endpoint-nodeports { ${nodePortMap}; comment "vmap to drop or reject packets to service nodeports with no endpoints"; }
  map firewall-ips { ${serviceMap}; comment "destinations that are subject to LoadBalancerSourceRanges"; }
  map service-ips { ${serviceMap}; comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"; }
  map service-nodeports { ${nodePortMap}; comment "NodePort traffic"; }

  # Source ranges are about the address that the client called, so they come before DNAT.
  chain filter-prerouting-pre-dnat { type filter hook prerouting priority dstnat - 10; ct state new jump firewall-check; }
  chain filter-output-pre-dnat { type filter hook output priority -110; ct state new jump firewall-check; }
  chain filter-input {
    type filter hook input priority filter;
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }
  chain filter-forward {
    type filter hook forward priority filter;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain filter-output {
    type filter hook output priority filter;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }

  chain nodeport-endpoints-check { ${nodePort} @no-endpoint-nodeports; }
  chain service-endpoints-check { ${service} @no-endpoint-services; }
  chain firewall-check { ${service} @firewall-ips; }
  chain services {
    ${service} @service-ips
    ${allNodePortIps ? "fib daddr type local " : ""}${nodePort} @service-nodeports
  }
  chain masquerading {
    meta mark & ${mark} == 0 return
    meta mark set meta mark ^ ${mark}
    masquerade fully-random
  }
  chain cluster-ips-check {
    ${ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
    ${unallocated}
  }
  chain mark-for-masquerade { meta mark set meta mark | ${mark}; }
  chain reject-chain { comment "helper for @no-endpoint-services / @no-endpoint-nodeports"; reject; }
}
`;
}
