import type { Condition, KubeObject } from "@cnilab/core";

export interface TierSpec {
  /** The lowest comes first; without one it comes last. */
  readonly order?: number;
  /** What happens to a packet that policies of the tier were asked about, and no rule of them matched; `Deny` where it is left out. */
  readonly defaultAction?: "Deny" | "Pass";
}

export interface Tier extends KubeObject {
  readonly kind: "Tier";
  readonly spec: TierSpec;
  readonly status?: { readonly conditions?: readonly Condition[] };
}
