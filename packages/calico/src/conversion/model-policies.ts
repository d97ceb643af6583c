import type { GlobalNetworkPolicy, NetworkPolicy, PolicySpec } from "../api/v3/network-policy.ts";
import type { PolicyType } from "../api/v3/rule.ts";
import type {
  StagedAction,
  StagedGlobalNetworkPolicy,
  StagedKubernetesNetworkPolicy,
  StagedNetworkPolicy,
} from "../api/v3/staged-network-policy.ts";
import type { PolicyId } from "../calc/messages.ts";
import type { ModelPolicy } from "./model.ts";
import { modelRules } from "./model-rules.ts";
import { convertNetworkPolicy } from "./network-policy.ts";
import { globalSubject, namespacedSubject } from "./selector-texts.ts";

/** A policy by what Felix knows it by. */
export interface IdentifiedPolicy {
  readonly id: PolicyId;
  readonly policy: ModelPolicy;
}

/** `updateprocessors/networkpolicyprocessor.go`, of a stored policy and of a converted one. */
export function modelNetworkPolicy({
  metadata,
  spec,
}: Pick<NetworkPolicy, "metadata" | "spec">): ModelPolicy {
  const namespace = metadata.namespace ?? "default";
  return {
    ...modelPolicy(spec, namespace),
    namespace,
    selector: namespacedSubject(spec.selector, namespace, spec.serviceAccountSelector),
    doNotTrack: false,
    preDnat: false,
    applyOnForward: false,
  };
}

/** `updateprocessors/globalnetworkpolicyprocessor.go`. */
export function modelGlobalNetworkPolicy({ spec }: Pick<GlobalNetworkPolicy, "spec">): ModelPolicy {
  return {
    ...modelPolicy(spec, ""),
    selector: globalSubject(spec.selector, spec.namespaceSelector, spec.serviceAccountSelector),
    doNotTrack: spec.doNotTrack === true,
    preDnat: spec.preDNAT === true,
    applyOnForward: spec.applyOnForward === true,
  };
}

/** `updateprocessors/stagednetworkpolicyprocessor.go`; none for one that would delete a policy. */
export function modelStagedNetworkPolicy(staged: StagedNetworkPolicy): ModelPolicy | undefined {
  const { stagedAction } = staged.spec;
  return stagedAction === "Delete"
    ? undefined
    : withAction(modelNetworkPolicy(staged), stagedAction);
}

/** `updateprocessors/stagedglobalnetworkpolicyprocessor.go`. */
export function modelStagedGlobalNetworkPolicy(
  staged: StagedGlobalNetworkPolicy,
): ModelPolicy | undefined {
  const { stagedAction } = staged.spec;
  return stagedAction === "Delete"
    ? undefined
    : withAction(modelGlobalNetworkPolicy(staged), stagedAction);
}

/** `updateprocessors/stagedkubernetesnetworkpolicyprocessor.go`: as if it were a policy of Kubernetes. */
export function modelStagedKubernetesNetworkPolicy(
  staged: StagedKubernetesNetworkPolicy,
): ModelPolicy | undefined {
  const { stagedAction, ...spec } = staged.spec;
  if (stagedAction === "Delete") return undefined;
  const { policy } = convertNetworkPolicy({
    ...staged,
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    spec,
  });
  return withAction(modelNetworkPolicy(policy), stagedAction);
}

function modelPolicy(
  spec: PolicySpec,
  namespace: string,
): Pick<
  ModelPolicy,
  "tier" | "order" | "inboundRules" | "outboundRules" | "types" | "performanceHints"
> {
  return {
    tier: spec.tier === undefined || spec.tier === "" ? "default" : spec.tier,
    ...(spec.order !== undefined && { order: spec.order }),
    inboundRules: modelRules(spec.ingress, namespace),
    outboundRules: modelRules(spec.egress, namespace),
    types: (spec.types ?? []).map((type) => type.toLowerCase() as Lowercase<PolicyType>),
    performanceHints: spec.performanceHints ?? [],
  };
}

/** The API server stores `Set` where no action is given. */
function withAction(policy: ModelPolicy, stagedAction: StagedAction = "Set"): ModelPolicy {
  return { ...policy, stagedAction };
}
