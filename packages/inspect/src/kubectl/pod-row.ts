import type { ContainerStatus, Pod } from "@cnilab/core";
import { age } from "./human-duration.ts";

/** The cells Ready, Status and Restarts of a pod, and all others (printers.go `printPod`). */
export function podRow(pod: Pod, now: number): string[] {
  const { ready, total } = readiness(pod);
  const ip = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "<none>";
  return [
    pod.metadata.name,
    `${ready}/${total}`,
    podStatus(pod),
    restarts(pod, now),
    age(pod.metadata.creationTimestamp, now),
    ip,
    pod.spec.nodeName ?? "<none>",
    "<none>", // a nominated node comes from preemption
    "<none>",
  ];
}

/** What `kubectl get pods` shows as the status: the phase, or what keeps a container from running. */
export function podStatus(pod: Pod): string {
  const { status } = pod;
  const phase = status?.phase ?? "Pending";
  let reason = status?.reason ?? phase;
  const gated = status?.conditions?.some(
    (c) => c.type === "PodScheduled" && c.reason === "SchedulingGated",
  );
  if (gated) reason = "SchedulingGated";
  const initReason = initStatus(pod);
  if (initReason !== undefined) reason = initReason;
  if (initReason === undefined || isInitialized(pod)) reason = containersStatus(pod, reason);
  if (pod.metadata.deletionTimestamp === undefined) return reason;
  if (status?.reason === "NodeLost") return "Unknown";
  return phase === "Succeeded" || phase === "Failed" ? reason : "Terminating";
}

/** The first init container that is not done yet. */
function initStatus(pod: Pod): string | undefined {
  const statuses = pod.status?.initContainerStatuses ?? [];
  for (const [i, container] of statuses.entries()) {
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (isSidecar(pod, container) && container.started === true) continue;
    if (terminated !== undefined) {
      return `Init:${terminated.reason || `ExitCode:${terminated.exitCode}`}`;
    }
    if (waiting?.reason && waiting.reason !== "PodInitializing") return `Init:${waiting.reason}`;
    return `Init:${i}/${pod.spec.initContainers?.length ?? 0}`;
  }
  return undefined;
}

/** The containers decide, the first one last. */
function containersStatus(pod: Pod, phase: string): string {
  const statuses = [...(pod.status?.containerStatuses ?? [])].reverse();
  let reason = phase;
  let error = "";
  let running = false;
  for (const { state, ready } of statuses) {
    if (state?.waiting?.reason) {
      reason = state.waiting.reason;
    } else if (state?.terminated !== undefined) {
      reason = state.terminated.reason || `ExitCode:${state.terminated.exitCode}`;
      if (state.terminated.exitCode !== 0) error = reason;
    } else if (ready && state?.running !== undefined) {
      running = true;
    }
  }
  if (reason !== "Completed") return reason;
  if (running && hasCondition(pod, "Ready")) return "Running";
  if (error !== "") return error;
  return running ? "NotReady" : reason;
}

function readiness(pod: Pod): { readonly ready: number; readonly total: number } {
  const sidecars = (pod.status?.initContainerStatuses ?? []).filter(
    (c) => isSidecar(pod, c) && c.started === true && c.ready,
  );
  const containers = (pod.status?.containerStatuses ?? []).filter(
    (c) => c.ready && c.state?.running !== undefined,
  );
  const initialized = initStatus(pod) === undefined || isInitialized(pod);
  const total =
    pod.spec.containers.length +
    (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always").length;
  return { ready: sidecars.length + (initialized ? containers.length : 0), total };
}

function restarts(pod: Pod, now: number): string {
  const inits = pod.status?.initContainerStatuses ?? [];
  const initialized = initStatus(pod) === undefined || isInitialized(pod);
  const counted = initialized
    ? [...inits.filter((c) => isSidecar(pod, c)), ...(pod.status?.containerStatuses ?? [])]
    : inits;
  const count = counted.reduce((sum, c) => sum + c.restartCount, 0);
  const ends = counted
    .map((c) => c.lastState?.terminated?.finishedAt)
    .filter((t) => t !== undefined)
    .sort();
  const last = ends.at(-1);
  return count === 0 || last === undefined ? String(count) : `${count} (${age(last, now)} ago)`;
}

/** An init container that goes on running beside the others. */
function isSidecar(pod: Pod, status: ContainerStatus): boolean {
  const container = pod.spec.initContainers?.find((c) => c.name === status.name);
  return container?.restartPolicy === "Always";
}

function isInitialized(pod: Pod): boolean {
  return hasCondition(pod, "Initialized");
}

function hasCondition(pod: Pod, type: string): boolean {
  return pod.status?.conditions?.some((c) => c.type === type && c.status === "True") === true;
}
