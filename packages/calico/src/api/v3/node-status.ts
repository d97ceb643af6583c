import type { KubeObject } from "@cnilab/core";

export type NodeStatusClassType = "Agent" | "BGP" | "Routes";

export interface CalicoNodeStatusSpec {
  readonly node: string;
  readonly classes: readonly NodeStatusClassType[];
  readonly updatePeriodSeconds: number;
}

/** Asks a node to tell of itself. */
export interface CalicoNodeStatus extends KubeObject {
  readonly kind: "CalicoNodeStatus";
  readonly spec: CalicoNodeStatusSpec;
  readonly status?: Readonly<Record<string, unknown>>;
}
