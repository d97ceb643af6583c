import { peerMatches } from "../policy/match.ts";
import type { Direction, Policy } from "../policy/policy.ts";
import { type Workload, workloadName } from "./workloads.ts";

/** Names of the workloads of which every pod is selected by some policy for a direction. */
export function selectedWorkloads(
  all: readonly Workload[],
  policies: readonly Policy[],
  direction: Direction,
): ReadonlySet<string> {
  const selected = all.filter(({ pods }) =>
    pods.every((pod) =>
      policies.some(
        (policy) =>
          policy[direction] !== undefined &&
          !(policy.leavesOpen?.includes(direction) ?? false) &&
          peerMatches(policy.subject, pod),
      ),
    ),
  );
  return new Set(selected.map(workloadName));
}
