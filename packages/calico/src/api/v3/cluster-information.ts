import type { KubeObject } from "@cnilab/core";

export interface ClusterInformationSpec {
  readonly clusterGUID?: string;
  readonly clusterType?: string;
  readonly calicoVersion?: string;
  readonly datastoreReady?: boolean;
  readonly variant?: string;
}

export interface ClusterInformation extends KubeObject {
  readonly kind: "ClusterInformation";
  readonly spec: ClusterInformationSpec;
}
