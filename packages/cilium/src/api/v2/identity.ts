import type { KubeObject } from "@cnilab/core";

/** A set of labels; its name is the number (pkg/k8s/apis/cilium.io/v2/types.go). */
export interface CiliumIdentity extends KubeObject {
  readonly kind: "CiliumIdentity";
  readonly "security-labels": Readonly<Record<string, string>>;
}
