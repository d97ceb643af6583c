import type { Condition, Container, ContainerStatus, Pod, PodStatus } from "@cnilab/core";

/** How one container of a pod is doing. */
export interface ContainerProgress {
  readonly name: string;
  readonly running: boolean;
  readonly ready: boolean;
  readonly restarts: number;
  /** Why it does not run, when it crashed. */
  readonly crash: string | undefined;
}

// Thousands of pods have equal conditions and container statuses: each is made once a second.
let conditionsAt = "";
const conditions = new Map<string, readonly Condition[]>();
let runningAt = "";
const running = new Map<string, readonly ContainerStatus[]>();
/** Kinds of pods whose statuses are kept at once. */
const MOST_KINDS = 1000;

/** Conditions of a pod that its kubelet has taken on. */
export function podConditions(
  at: string,
  state: { readonly sandbox: boolean; readonly containers: boolean; readonly why?: string },
): readonly Condition[] {
  if (at !== conditionsAt) {
    conditions.clear();
    conditionsAt = at;
  }
  const key = `${state.sandbox} ${state.containers} ${state.why ?? ""}`;
  let made = conditions.get(key);
  if (made === undefined) {
    const one = (type: string, is: boolean): Condition => ({
      type,
      status: is ? "True" : "False",
      ...(is || state.why === undefined ? {} : { reason: state.why }),
      lastTransitionTime: at,
    });
    made = [
      one("PodReadyToStartContainers", state.sandbox),
      one("Initialized", true),
      one("Ready", state.containers),
      one("ContainersReady", state.containers),
      one("PodScheduled", true),
    ];
    conditions.set(key, made);
  }
  return made;
}

/** Statuses of containers that all run and are ready: shared by all pods that look alike. */
export function runningStatuses(
  containers: readonly Container[],
  at: string,
): readonly ContainerStatus[] {
  if (at !== runningAt || running.size > MOST_KINDS) {
    running.clear();
    runningAt = at;
  }
  let key = "";
  for (const { name, image } of containers) {
    key += image === undefined ? `${name}\n` : `${name} ${image}\n`;
  }
  let all = running.get(key);
  if (all === undefined) {
    all = containers.map((container) =>
      containerStatus(container, at, {
        name: container.name,
        running: true,
        ready: true,
        restarts: 0,
        crash: undefined,
      }),
    );
    running.set(key, all);
  }
  return all;
}

export function containerStatus(
  container: Container,
  at: string,
  progress: ContainerProgress,
): ContainerStatus {
  const { name, image } = container;
  const { running, ready, restarts, crash } = progress;
  const terminated = {
    terminated: { exitCode: 1, reason: "Error", message: crash ?? "", finishedAt: at },
  };
  return {
    name,
    ...(image === undefined ? {} : { image }),
    ready,
    started: running,
    restartCount: restarts,
    state: running
      ? { running: { startedAt: at } }
      : {
          waiting: {
            reason: "CrashLoopBackOff",
            message: `back-off restarting failed container ${name}: ${crash}`,
          },
        },
    ...(crash === undefined ? {} : { lastState: terminated }),
  };
}

/** Status of a pod whose containers wait for its sandbox. */
export function creatingStatus(
  pod: Pod,
  at: string,
  hostIps: readonly { ip: string }[],
): PodStatus {
  return {
    phase: "Pending",
    ...hosts(hostIps),
    startTime: at,
    conditions: podConditions(at, { sandbox: false, containers: false, why: "ContainersNotReady" }),
    containerStatuses: pod.spec.containers.map(({ name, image }) => ({
      name,
      ...(image === undefined ? {} : { image }),
      ready: false,
      started: false,
      restartCount: 0,
      state: { waiting: { reason: "ContainerCreating" } },
    })),
  };
}

export function hosts(ips: readonly { ip: string }[]): Pick<PodStatus, "hostIP" | "hostIPs"> {
  const first = ips[0];
  return first === undefined ? {} : { hostIP: first.ip, hostIPs: ips };
}
