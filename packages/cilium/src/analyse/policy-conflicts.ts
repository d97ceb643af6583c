import type { KubeObject } from "@cnilab/core";
import type { Workload } from "@cnilab/network-policy";
import { MINIMAL_ALLOCATION_IDENTITY } from "../identity/numeric-identity.ts";
import { identityKey, type LabelSet } from "../labels/label-set.ts";
import { PolicyRepository } from "../policy/policy-repository.ts";
import type { PolicyRule } from "../policy/policy-rule.ts";
import type { PolicySettings } from "../policy/policy-settings.ts";
import { PolicyConflictError } from "../policy/selector-policy.ts";
import type { IgnoredPolicy } from "./given-rules.ts";

/**
 * Workloads whose rules contradict each other, as two kinds of proxies for one peer and port do: their pods keep the policy that they
 * had, and new ones do not start.
 * @param labelsOf of a workload's pods, each kind of them once
 */
export function policyConflicts(
  rules: readonly PolicyRule[],
  workloads: () => readonly Workload[],
  labelsOf: (workload: Workload) => readonly LabelSet[],
  settings: PolicySettings,
): readonly IgnoredPolicy[] {
  if (!rules.some(canContradict)) return [];
  const repository = new PolicyRepository(settings);
  repository.replace("", rules);
  const answers = new Map<string, string | undefined>();
  const conflictOf = (labels: LabelSet): string | undefined => {
    const key = identityKey(labels);
    if (!answers.has(key)) answers.set(key, conflict(repository, labels));
    return answers.get(key);
  };
  const found = new Map<string, Workload[]>();
  for (const workload of workloads()) {
    for (const message of new Set(labelsOf(workload).flatMap((each) => conflictOf(each) ?? []))) {
      found.set(message, [...(found.get(message) ?? []), workload]);
    }
  }
  return [...found].map(([message, [first, ...others]]) => {
    const more = others.length === 0 ? "" : ` (and ${others.length} more workloads)`;
    const reason = `its policies contradict each other, so that its pods keep what they had: ${message}${more}`;
    return { object: objectOf(first as Workload), reason };
  });
}

function conflict(repository: PolicyRepository, labels: LabelSet): string | undefined {
  try {
    repository.resolve({ identity: MINIMAL_ALLOCATION_IDENTITY, labels });
  } catch (error) {
    if (error instanceof PolicyConflictError) return error.message;
    throw error;
  }
  return undefined;
}

function canContradict({ ingress, egress }: PolicyRule): boolean {
  return [...ingress, ...egress].some(
    ({ ports, authentication }) =>
      authentication !== undefined ||
      ports.some(
        ({ rules, listener, serverNames, terminatingTLS, originatingTLS }) =>
          rules ?? listener ?? serverNames ?? terminatingTLS ?? originatingTLS,
      ),
  );
}

function objectOf({ kind, namespace, name }: Workload): KubeObject {
  return { apiVersion: "", kind, metadata: { namespace, name } };
}
