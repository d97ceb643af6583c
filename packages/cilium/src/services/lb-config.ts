import type { IpFamily } from "@cnilab/net";
import type { MaglevConfig } from "../maglev/maglev-config.ts";

export type ForwardingMode = "snat" | "dsr";

/** What agents' settings say of load balancing (pkg/loadbalancer/config.go), the same on all nodes. */
export interface LbConfig {
  readonly families: readonly IpFamily[];
  /** Helm `kubeProxyReplacement` or `nodePort.enabled`: without either there are only ClusterIPs, and kube-proxy has the rest. */
  readonly nodePort: boolean;
  /** What only `kubeProxyReplacement` brings along (pkg/kpr/kpr.go). */
  readonly hostPorts: boolean;
  readonly sessionAffinity: boolean;
  /** Helm `loadBalancer.mode`. */
  readonly mode: ForwardingMode | "hybrid";
  /** Helm `loadBalancer.algorithm`. */
  readonly algorithm: "random" | "maglev";
  readonly maglev: MaglevConfig;
  /** Whether annotations of Services choose mode and algorithm (`bpf-lb-mode-annotation`, `bpf-lb-algorithm-annotation`). */
  readonly annotations: { readonly mode: boolean; readonly algorithm: boolean };
  /** `bpf-lb-external-clusterip`: the network may ask for ClusterIPs. */
  readonly externalClusterIp: boolean;
  /** Helm `svcSourceRangeCheck`. */
  readonly sourceRanges: boolean;
  /** `bpf-lb-source-range-all-types`: `loadBalancerSourceRanges` guard other addresses, too. */
  readonly sourceRangeAllTypes: boolean;
  /** Helm `loadBalancer.serviceTopology`. */
  readonly serviceTopology: boolean;
  readonly nodePortRange: { readonly first: number; readonly last: number };
  /** Helm `bpf.lbMapMax`: entries of each map. */
  readonly mapMax: number;
}
