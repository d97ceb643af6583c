import type { Condition, KubeObject } from "@cnilab/core";
import type { Rule } from "./rule.ts";

export interface PolicyStatus {
  readonly conditions?: readonly Condition[];
}

/** For pods of its namespace. `spec`, `specs` or both. */
export interface CiliumNetworkPolicy extends KubeObject {
  readonly kind: "CiliumNetworkPolicy";
  readonly spec?: Rule;
  readonly specs?: readonly Rule[];
  readonly status?: PolicyStatus;
}

/** For pods of all namespaces, and for nodes. */
export interface CiliumClusterwideNetworkPolicy extends KubeObject {
  readonly kind: "CiliumClusterwideNetworkPolicy";
  readonly spec?: Rule;
  readonly specs?: readonly Rule[];
  readonly status?: PolicyStatus;
}

/** Ranges of addresses that policies refer to by name or by labels. */
export interface CiliumCIDRGroup extends KubeObject {
  readonly kind: "CiliumCIDRGroup";
  readonly spec: { readonly externalCIDRs: readonly string[] };
}
