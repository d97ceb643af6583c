import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";

export type ProxyMode = "iptables" | "nftables" | "ipvs";

/** Port numbers one after the other, both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What a cluster is made with, as the flags of kubeadm and the controller manager set it. */
export interface ClusterConfig {
  /** `--cluster-cidr`: pod addresses, one prefix a family, first family first. */
  readonly clusterCidrs: readonly Prefix[];
  /** `--allocate-node-cidrs`: whether each node gets a part of these; it does where this is absent. */
  readonly allocateNodeCidrs?: boolean;
  /** `--node-cidr-mask-size`, by family. */
  readonly nodeCidrMaskSize: Readonly<Record<IpFamily, number>>;
  /** `--service-cluster-ip-range`, one prefix a family. */
  readonly serviceCidrs: readonly Prefix[];
  /** `--service-node-port-range`; 30000 to 32767 where it is absent. */
  readonly serviceNodePortRange?: PortRange;
  /** Families in use, the cluster's first one first. */
  readonly ipFamilies: readonly IpFamily[];
  readonly proxyMode: ProxyMode;
  readonly clusterDomain: string;
  /** kubelet's `--cluster-dns`; the address of Service kube-dns where it is absent. */
  readonly clusterDns?: readonly IpAddress[];
}
