import type { Protocol } from "@cnilab/core";
import type { KernelState, OuterHeader } from "@cnilab/inspect";
import type { ComparedCni } from "./compared-cni.ts";

/** Everything that was found on one CNI: plain data, so that its cluster can go. */
export interface Finding {
  readonly cni: ComparedCni;
  readonly size: ClusterSize;
  readonly policies: PolicyFinding;
  /** One for each pair of the sample, in its order. */
  readonly reach: readonly PairOutcome[];
  /** By the name of the pair. */
  readonly sameNode: ReadonlyMap<string, WalkFinding>;
  readonly acrossNodes: ReadonlyMap<string, WalkFinding>;
  readonly state: StateFinding | undefined;
  /** By the name of the Service. */
  readonly nodePorts: ReadonlyMap<string, NodePortFinding>;
  readonly warnings: readonly string[];
}

export interface ClusterSize {
  readonly nodes: number;
  readonly pods: number;
  readonly runningPods: number;
  readonly services: number;
  /** Who turns a Service's address into a pod's, as `kube-proxy (iptables)`. */
  readonly servicesBy: string;
}

export interface PolicyFinding {
  readonly total: number;
  readonly inEffect: number;
  /** Kinds that are there and that nobody enforces. */
  readonly idleKinds: readonly string[];
  /** Policies that an engine for their kind refuses as a whole, as `NetworkPolicy default/web`. */
  readonly refused: readonly string[];
}

/** What became of one pair. */
export interface PairOutcome {
  /** As a probe's, or `not running` where an end is not there. */
  readonly verdict: string;
  readonly reason: string;
  /** The object that a drop is due to, as `NetworkPolicy default/deny-all`. */
  readonly blockedBy?: string;
}

/** Two workloads, and a port of the second. */
export interface Pair {
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** A connection between two pods, and the same through a Service that leads to the second. */
export interface WalkFinding {
  readonly direct: ConnectionFigures;
  readonly service?: ConnectionFigures & { readonly name: string };
}

export interface ConnectionFigures {
  readonly first: WalkFigures;
  readonly answer: WalkFigures;
  readonly later: WalkFigures;
  /** Of the client, towards the server. */
  readonly mtu: number;
  /** Whom the server saw. */
  readonly seenAs: SeenSource;
  /** Entries that it left on all nodes that it passed: conntrack's of its own, of the tunnel's packets, and those of eBPF maps. */
  readonly left: { readonly own: number; readonly tunnel: number; readonly bpf: number };
}

/** What `measureWalk` says, as plain data. */
export interface WalkFigures {
  /** As `pod`, `veth`, `cni0`, with `~` where the packet goes on to another machine. */
  readonly path: readonly string[];
  readonly kinds: readonly string[];
  readonly devices: number;
  readonly namespaces: number;
  readonly routed: number;
  readonly steps: number;
  readonly rules: number;
  readonly rulesByTable: Readonly<Record<string, number>>;
  /** Those that looked at a tunnel's outer packet. */
  readonly tunnelRules: number;
  readonly lookups: number;
  readonly programs: number;
  readonly flowLookups: number;
  readonly flowMisses: number;
  readonly connections: number;
  readonly tunnelConnections: number;
  readonly outer: readonly OuterHeader[];
  /** MTU of the device by which it left the machine. */
  readonly linkMtu?: number;
}

/** An address that a server saw, and who has it: `the client`, or a device as `node2 cni0`. */
export interface SeenSource {
  readonly address: string;
  readonly who: string;
}

export interface StateFinding {
  readonly node: string;
  /** Of the input, there. */
  readonly pods: number;
  readonly counts: KernelState;
}

/** What became of a client outside of the cluster at a node's port. */
export interface NodePortFinding {
  /** externalTrafficPolicy Cluster, at a node that need not have a pod of it. */
  readonly cluster: NodePortOutcome;
  /** externalTrafficPolicy Local, at a node that has one. */
  readonly local: NodePortOutcome;
}

export interface NodePortOutcome {
  readonly verdict: string;
  readonly seenAs?: SeenSource;
}
