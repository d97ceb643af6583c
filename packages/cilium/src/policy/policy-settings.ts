/** Settings of the agent that policies depend on (pkg/option, pkg/policy/config.go). */
export interface PolicySettings {
  readonly clusterName: string;
  /** Whether selectors without a cluster select in this one alone (`clustermesh.policyDefaultLocalCluster`). */
  readonly defaultLocalCluster: boolean;
  /** Both families of addresses. */
  readonly dualStack: boolean;
  readonly enforcement: "default" | "always" | "never";
  /** Whether the node may always reach its pods: `auto` is always, as it is under Kubernetes. */
  readonly allowLocalhost: "auto" | "always" | "policy";
  readonly hostFirewall: boolean;
  /** Labels of nodes make identities (`nodeSelectorLabels`), as `fromNodes` and `toNodes` need. */
  readonly nodeSelectorLabels: boolean;
  readonly l7Proxy: boolean;
}

/** As the Helm chart sets them. */
export const DEFAULT_POLICY_SETTINGS: PolicySettings = {
  clusterName: "default",
  defaultLocalCluster: false,
  dualStack: false,
  enforcement: "default",
  allowLocalhost: "auto",
  hostFirewall: false,
  nodeSelectorLabels: false,
  l7Proxy: true,
};
