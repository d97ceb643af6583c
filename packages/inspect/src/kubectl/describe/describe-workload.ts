import type { DaemonSet, Deployment, Pod, ReplicaSet, StatefulSet } from "@cnilab/core";
import { labelsText, requirementsText, selectorText } from "../selector-text.ts";
import { describePodTemplate } from "./describe-pod.ts";
import { controllerOf, type Description, rfc1123 } from "./description.ts";
import type { RelatedObjects } from "./related-objects.ts";

const HASH_LABEL = "pod-template-hash";

/** `kubectl describe deployment` (pkg/describe `describeDeployment`). */
export function describeDeployment(
  to: Description,
  deployment: Deployment,
  related: RelatedObjects,
): void {
  const { metadata, spec, status = {} } = deployment;
  to.head(deployment);
  to.field("CreationTimestamp", rfc1123(metadata.creationTimestamp));
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.field("Selector", requirementsText(spec.selector));
  const {
    updatedReplicas = 0,
    replicas = 0,
    availableReplicas = 0,
    unavailableReplicas = 0,
  } = status;
  const counts = [
    `${spec.replicas ?? 1} desired`,
    `${updatedReplicas} updated`,
    `${replicas} total`,
    `${availableReplicas} available`,
    `${unavailableReplicas} unavailable`,
  ];
  to.field("Replicas", counts.join(" | "));
  const { type = "RollingUpdate", rollingUpdate = {} } = spec.strategy ?? {};
  to.field("StrategyType", type);
  to.field("MinReadySeconds", spec.minReadySeconds ?? 0);
  if (type === "RollingUpdate") {
    const { maxUnavailable = "25%", maxSurge = "25%" } = rollingUpdate;
    to.field("RollingUpdateStrategy", `${maxUnavailable} max unavailable, ${maxSurge} max surge`);
  }
  describePodTemplate(to, spec.template);
  to.conditions(status.conditions ?? []);
  const sets = related.replicaSetsOf(deployment);
  if (sets.length === 0) return;
  const wanted = templateText(spec.template);
  const current = sets.find((set) => templateText(set.spec.template) === wanted);
  const old = sets.filter((set) => set !== current);
  to.field("OldReplicaSets", old.map(replicaSetText).join(", ") || "<none>");
  to.field("NewReplicaSet", current === undefined ? "<none>" : replicaSetText(current));
}

/** Without the hash that a ReplicaSet's pods are told apart by (`EqualIgnoreHash`). */
function templateText(template: ReplicaSet["spec"]["template"]): string {
  const { [HASH_LABEL]: _, ...labels } = template?.metadata?.labels ?? {};
  const { annotations = {} } = template?.metadata ?? {};
  const pairs = [labels, annotations].map((each) => Object.entries(each).sort());
  return JSON.stringify([pairs, template?.spec]);
}

function replicaSetText({ metadata, spec, status }: ReplicaSet): string {
  return `${metadata.name} (${status?.replicas ?? 0}/${spec.replicas ?? 1} replicas created)`;
}

/** `kubectl describe replicaset` (`describeReplicaSet`). */
export function describeReplicaSet(
  to: Description,
  set: ReplicaSet,
  related: RelatedObjects,
): void {
  const { metadata, spec, status } = set;
  to.head(set);
  to.field("Selector", selectorText(spec.selector));
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  const controller = controllerOf(set);
  if (controller !== undefined) to.field("Controlled By", controller);
  to.field("Replicas", `${status?.replicas ?? 0} current / ${spec.replicas ?? 1} desired`);
  to.field("Pods Status", podsText(related.podsOf(set)));
  if (spec.template !== undefined) describePodTemplate(to, spec.template);
}

/** `kubectl describe daemonset` (`describeDaemonSet`). */
export function describeDaemonSet(to: Description, set: DaemonSet, related: RelatedObjects): void {
  const { metadata, spec, status = {} } = set;
  to.head(set);
  to.field("Selector", requirementsText(spec.selector));
  to.field("Node-Selector", labelsText(spec.template.spec.nodeSelector));
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  const scheduled = "Number of Nodes Scheduled";
  to.line(0, `Desired ${scheduled}: ${status.desiredNumberScheduled ?? 0}`);
  to.line(0, `Current ${scheduled}: ${status.currentNumberScheduled ?? 0}`);
  to.line(0, `${scheduled} with Up-to-date Pods: ${status.updatedNumberScheduled ?? 0}`);
  to.line(0, `${scheduled} with Available Pods: ${status.numberAvailable ?? 0}`);
  to.line(0, `Number of Nodes Misscheduled: ${status.numberMisscheduled ?? 0}`);
  to.field("Pods Status", podsText(related.podsOf(set)));
  describePodTemplate(to, spec.template);
}

/** `kubectl describe statefulset` (`describeStatefulSet`). */
export function describeStatefulSet(
  to: Description,
  set: StatefulSet,
  related: RelatedObjects,
): void {
  const { metadata, spec, status } = set;
  to.head(set);
  to.field("CreationTimestamp", rfc1123(metadata.creationTimestamp));
  to.field("Selector", requirementsText(spec.selector));
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  if (spec.serviceName) to.field("Service Name", spec.serviceName);
  to.field("Pod Management Policy", spec.podManagementPolicy ?? "OrderedReady");
  to.field("Replicas", `${spec.replicas ?? 1} desired | ${status?.replicas ?? 0} total`);
  const { type = "RollingUpdate", rollingUpdate } = spec.updateStrategy ?? {};
  to.field("Update Strategy", type);
  if (type === "RollingUpdate") to.line(1, `Partition:\t${rollingUpdate?.partition ?? 0}`);
  to.field("Pods Status", podsText(related.podsOf(set)));
  describePodTemplate(to, spec.template);
  const { volumeClaimTemplates: claims = [] } = spec as ShownSpec;
  if (claims.length === 0) to.field("Volume Claims", "<none>");
  else to.line(0, "Volume Claims:");
  for (const claim of claims) to.line(1, `Name:\t${claim.metadata?.name ?? ""}`);
}

/** Fields that are shown, and that nothing else here reads. */
interface ShownSpec {
  readonly volumeClaimTemplates?: readonly { readonly metadata?: { readonly name?: string } }[];
}

function podsText(pods: readonly Pod[]): string {
  const count = (phase: string) => pods.filter(({ status }) => status?.phase === phase).length;
  return `${count("Running")} Running / ${count("Pending")} Waiting / ${count("Succeeded")} Succeeded / ${count("Failed")} Failed`;
}
