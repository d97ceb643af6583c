import type {
  Container,
  DaemonSet,
  Deployment,
  Job,
  PodTemplateSpec,
  ReplicaSet,
  StatefulSet,
} from "@cnilab/core";
import { age, humanDuration } from "./human-duration.ts";
import { labelsText, requirementsText, selectorText } from "./selector-text.ts";

export function deploymentRow({ metadata, spec, status }: Deployment, now: number): string[] {
  return [
    metadata.name,
    `${status?.readyReplicas ?? 0}/${spec.replicas ?? 1}`,
    String(status?.updatedReplicas ?? 0),
    String(status?.availableReplicas ?? 0),
    age(metadata.creationTimestamp, now),
    ...containersAndImages(spec.template),
    requirementsText(spec.selector),
  ];
}

export function replicaSetRow({ metadata, spec, status }: ReplicaSet, now: number): string[] {
  return [
    metadata.name,
    String(spec.replicas ?? 1),
    String(status?.replicas ?? 0),
    String(status?.readyReplicas ?? 0),
    age(metadata.creationTimestamp, now),
    ...containersAndImages(spec.template),
    selectorText(spec.selector),
  ];
}

export function statefulSetRow({ metadata, spec, status }: StatefulSet, now: number): string[] {
  return [
    metadata.name,
    `${status?.readyReplicas ?? 0}/${spec.replicas ?? 1}`,
    age(metadata.creationTimestamp, now),
    ...containersAndImages(spec.template),
  ];
}

export function daemonSetRow({ metadata, spec, status }: DaemonSet, now: number): string[] {
  return [
    metadata.name,
    String(status?.desiredNumberScheduled ?? 0),
    String(status?.currentNumberScheduled ?? 0),
    String(status?.numberReady ?? 0),
    String(status?.updatedNumberScheduled ?? 0),
    String(status?.numberAvailable ?? 0),
    labelsText(spec.template.spec.nodeSelector),
    age(metadata.creationTimestamp, now),
    ...containersAndImages(spec.template),
    selectorText(spec.selector),
  ];
}

export function jobRow(job: Job, now: number): string[] {
  const { metadata, spec } = job;
  return [
    metadata.name,
    jobStatus(job),
    completions(job),
    duration(job, now),
    age(metadata.creationTimestamp, now),
    ...containersAndImages(spec.template),
    selectorText(spec.selector),
  ];
}

function jobStatus({ metadata, status }: Job): string {
  const is = (type: string): boolean =>
    status?.conditions?.some((c) => c.type === type && c.status === "True") === true;
  if (is("Complete")) return "Complete";
  if (is("Failed")) return "Failed";
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  for (const type of ["Suspended", "FailureTarget", "SuccessCriteriaMet"])
    if (is(type)) return type;
  return "Running";
}

function completions({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function duration({ status }: Job, now: number): string {
  if (status?.startTime === undefined) return "";
  const end = status.completionTime === undefined ? now : Date.parse(status.completionTime);
  return humanDuration(end - Date.parse(status.startTime));
}

function containersAndImages(template: PodTemplateSpec | undefined): [string, string] {
  const containers: readonly Container[] = template?.spec.containers ?? [];
  return [containers.map((c) => c.name).join(","), containers.map((c) => c.image ?? "").join(",")];
}
