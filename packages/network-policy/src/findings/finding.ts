import { type Policy, policyName } from "../policy/policy.ts";

export type FindingKind =
  | "selects-no-pod"
  | "rule-without-peer"
  | "undeclared-port"
  | "covered-rule"
  | "no-default-deny"
  | "one-sided"
  | "equal-priority";

/** Something in policies that a reviewer would ask about. */
export interface Finding {
  readonly kind: FindingKind;
  readonly level: "warning" | "note";
  /** The object that it is about, as `NetworkPolicy default/web`, with the field where it is one. */
  readonly object: string;
  readonly path?: string;
  readonly message: string;
}

export function findingAt(
  policy: Policy,
  path: string | undefined,
  finding: Omit<Finding, "object" | "path">,
): Finding {
  return { ...finding, object: policyName(policy), ...(path !== undefined && { path }) };
}
