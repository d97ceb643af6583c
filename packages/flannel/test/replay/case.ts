/** A JSON object of a kernel's state, as `ip -j` and `bridge -j` print them. */
export type Row = Readonly<Record<string, unknown>>;

export interface Input {
  readonly netConf: object;
  readonly flanneldArgs: readonly string[];
  readonly underlayMtu: number;
  /** Addresses on the underlay, by node. */
  readonly nodes: Readonly<Record<string, string>>;
  /** What etcd held once all were up. */
  readonly leases: Readonly<Record<string, Row>>;
}

export interface NodeState {
  readonly links: readonly Row[];
  readonly addrs: readonly Row[];
  readonly routes: readonly Row[];
  readonly fdb: readonly Row[];
  readonly iptables: readonly string[];
  readonly ip6tables: readonly string[];
  readonly nftables: readonly string[];
  readonly sysctl: Readonly<Record<string, string>>;
  readonly neigh_permanent: readonly Row[];
  readonly rules: readonly Row[];
  readonly subnetEnv: string;
}

export type NodeStates = Readonly<Record<string, NodeState>>;

export interface Expected {
  readonly after_start: NodeStates;
  readonly ping_flannel_address: Readonly<Record<string, boolean>>;
  readonly after_n3_lease_removed?: NodeStates;
  readonly n3_after_flanneld_stopped?: NodeState;
  readonly after_n3_back?: NodeStates;
}
