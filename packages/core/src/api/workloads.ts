import type { Condition, KubeObject, LabelSelector } from "./meta.ts";
import type { PodTemplateSpec } from "./pod.ts";

export interface Deployment extends KubeObject {
  readonly kind: "Deployment";
  readonly spec: {
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplateSpec;
  };
  readonly status?: {
    readonly replicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly updatedReplicas?: number;
    readonly conditions?: readonly Condition[];
  };
}

export interface ReplicaSet extends KubeObject {
  readonly kind: "ReplicaSet";
  readonly spec: {
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template?: PodTemplateSpec;
  };
  readonly status?: { readonly replicas?: number; readonly readyReplicas?: number };
}

export interface StatefulSet extends KubeObject {
  readonly kind: "StatefulSet";
  readonly spec: {
    readonly replicas?: number;
    readonly serviceName?: string;
    readonly podManagementPolicy?: "OrderedReady" | "Parallel";
    readonly selector: LabelSelector;
    readonly template: PodTemplateSpec;
  };
  readonly status?: { readonly replicas?: number; readonly readyReplicas?: number };
}

export interface DaemonSet extends KubeObject {
  readonly kind: "DaemonSet";
  readonly spec: { readonly selector: LabelSelector; readonly template: PodTemplateSpec };
  readonly status?: {
    readonly desiredNumberScheduled?: number;
    readonly currentNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

export interface Job extends KubeObject {
  readonly kind: "Job";
  readonly spec: {
    readonly completions?: number;
    readonly parallelism?: number;
    readonly template: PodTemplateSpec;
  };
  readonly status?: {
    readonly active?: number;
    readonly succeeded?: number;
    readonly conditions?: readonly Condition[];
  };
}
