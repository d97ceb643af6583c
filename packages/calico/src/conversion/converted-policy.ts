import type { PolicyId } from "../calc/messages.ts";

/** A rule that could not be converted. */
export interface BadRule {
  readonly direction: "ingress" | "egress";
  /** Its place in the list of that direction. */
  readonly index: number;
  /** In Calico's words. */
  readonly reason: string;
}

/** A policy of Kubernetes as one of Calico, and what of it was left out or made stricter. */
export interface ConvertedPolicy<T> {
  readonly id: PolicyId;
  readonly policy: T;
  readonly badRules: readonly BadRule[];
}

/** Converts the rules of one direction; what `convert` throws as a RangeError makes the rule a bad one, which `instead` may replace. */
export function convertRules<R, V3>(
  direction: BadRule["direction"],
  rules: readonly R[] | undefined,
  convert: (rule: R) => readonly V3[],
  instead: (rule: R) => readonly V3[] = () => [],
): { readonly rules: readonly V3[]; readonly bad: readonly BadRule[] } {
  const converted: V3[] = [];
  const bad: BadRule[] = [];
  for (const [index, rule] of (rules ?? []).entries()) {
    try {
      converted.push(...convert(rule));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      bad.push({ direction, index, reason: `k8s rule couldn't be converted: ${error.message}` });
      converted.push(...instead(rule));
    }
  }
  return { rules: converted, bad };
}
