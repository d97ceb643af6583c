import type { KubeObject, Labels } from "@cnilab/core";
import type { Rule } from "./rule.ts";

export interface ProfileSpec {
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
  /** For every endpoint of the profile that has none of its own by that key. */
  readonly labelsToApply?: Labels;
}

export interface Profile extends KubeObject {
  readonly kind: "Profile";
  readonly spec: ProfileSpec;
}
