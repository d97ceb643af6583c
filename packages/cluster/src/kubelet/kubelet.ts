import {
  type BridgeEngine,
  CniError,
  type CniResult,
  CniWaiting,
  type Container,
  type ContainerProgram,
  containerId,
  type NodeContext,
  objectKey,
  type Pod,
  type PodAttachment,
  type PodStatus,
  type Timer,
  timestamp,
  uuid,
} from "@cnilab/core";
import { echoOnAllPorts, type Kernel, KernelError, type NetNamespace } from "@cnilab/linux";
import { formatIp, type IpAddress, tryParseInterfaceAddress } from "@cnilab/net";
import type { Subscription } from "rxjs";
import { EventRecorder } from "../api/event-recorder.ts";
import { isFinished, isTerminating } from "../controllers/pod-state.ts";
import { ContainerFiles } from "./container-files.ts";
import { ContainerProcess, type ModelledProgram } from "./container-process.ts";
import { podAttachment } from "./pod-attachment.ts";
import { podFile } from "./pod-files.ts";
import {
  containerStatus,
  creatingStatus,
  hosts,
  podConditions,
  runningStatuses,
} from "./pod-status.ts";
import { ReadinessProbe } from "./readiness.ts";

/** Virtual milliseconds that a program serves on after it was told to end, if it is given so long. */
export const TERMINATION_MS = 1000;
/** Virtual milliseconds that a Job's pod works before it has succeeded. */
export const JOB_MS = 1000;
/** Milliseconds that pods wait for the node's network before they say so. */
const NETWORK_PATIENCE_MS = 1000;
/** Waiting times after failures, in milliseconds: 10 s, doubled up to 5 minutes (kubelet MaxContainerBackOff). */
const FIRST_BACK_OFF_MS = 10_000;
const LONGEST_BACK_OFF_MS = 300_000;
/** How long a sandbox may take: twice `--runtime-request-timeout` (pkg/kubelet/cri/remote/remote_runtime.go RunPodSandbox). */
const SANDBOX_TIMEOUT_MS = 240_000;
/** Attempts to set up a pod that the cluster waits for before it counts as settled. */
const AWAITED_ATTEMPTS = 3;

/** Told of what a kubelet does to a pod's network. */
export interface KubeletObserver {
  attached(pod: Pod, result: CniResult): void;
  attachFailed(pod: Pod, error: Error): void;
  detached(pod: Pod): void;
}

export interface KubeletOptions {
  /** `undefined` on a node without a network plugin. */
  readonly bridge: BridgeEngine | undefined;
  /** Whether pods answer on every port. */
  readonly listenOnAll: boolean;
  /** Addresses that a pod is to have, as it was written down with them. */
  readonly keptAddresses: (podKey: string) => readonly IpAddress[] | undefined;
  readonly observer: KubeletObserver;
  /** Programs that are modelled; the first that a container runs counts. */
  readonly programs: readonly ContainerProgram<NetNamespace>[];
}

/** A pod on its node. */
class RunningPod {
  pod: Pod;
  /** `undefined` until it has one; the node's own for pods in the host's network. */
  netns: NetNamespace | undefined = undefined;
  attachment: PodAttachment | undefined = undefined;
  addresses: readonly IpAddress[] = [];
  processes: ContainerProcess[] = [];
  probes: Map<string, ReadinessProbe> | undefined = undefined;
  /** Whatever it waits for: another attempt, its end. */
  timer: Timer | undefined = undefined;
  restartTimers: Timer[] | undefined = undefined;
  attempts = 0;
  terminating = false;

  constructor(pod: Pod) {
    this.pod = pod;
  }

  get inHostNetwork(): boolean {
    return this.pod.spec.hostNetwork === true;
  }
}

/** A pod whose network plugin waits for somebody. */
interface Sandboxing {
  readonly netns: NetNamespace;
  readonly attachment: PodAttachment;
  /** When time is up. */
  readonly until: number;
  /** Nobody waits for it any more. */
  readonly end: () => void;
}

/**
 * Runs the pods of one node: sandbox, network, programs that listen, readiness, restarts, an orderly
 * end. Images are there at once, init containers succeed at once, liveness probes always do.
 */
export class Kubelet {
  readonly #node: NodeContext<Kernel>;
  readonly #options: KubeletOptions;
  readonly #events: EventRecorder;
  readonly #pods = new Map<string, RunningPod>();
  readonly #sandboxing = new Map<RunningPod, Sandboxing>();
  /** Programs that are modelled, of all pods here. */
  readonly #modelledProcesses = new Set<ContainerProcess>();
  readonly #hostIps: readonly { readonly ip: string }[];
  #networkReady = false;
  #patience: Timer | undefined;

  constructor(node: NodeContext<Kernel>, options: KubeletOptions) {
    this.#node = node;
    this.#options = options;
    this.#events = new EventRecorder(node.api, node.clock, `kubelet, ${node.name}`);
    this.#hostIps = node.addresses.map((a) => ({ ip: formatIp(a) }));
  }

  start(): Subscription {
    const subscription = this.#node.api.watchPodsOfNode(this.#node.name).subscribe((event) => {
      const uid = event.object.metadata.uid as string;
      if (event.type === "DELETED") this.#remove(uid);
      else this.#update(uid, event.object);
    });
    subscription.add(() => this.#patience?.cancel());
    return subscription;
  }

  /** The machine is switched off: nothing runs any more, and nobody is told. */
  powerOff(): void {
    this.#patience?.cancel();
    for (const { end } of this.#sandboxing.values()) end();
    this.#sandboxing.clear();
    for (const running of this.#pods.values()) {
      stopTimers(running);
      // Its timers and watches are no part of the machine.
      for (const process of running.processes) if (process.isModelled) process.stop();
    }
    this.#modelledProcesses.clear();
    this.#pods.clear();
  }

  /** The node's network came up, or went. */
  setNetworkReady(ready: boolean): void {
    if (this.#networkReady === ready) return;
    this.#networkReady = ready;
    if (!ready) return;
    this.#patience?.cancel();
    this.#patience = undefined;
    for (const running of [...this.#pods.values()]) {
      if (running.netns !== undefined || running.terminating) continue;
      if (this.#sandboxing.has(running)) continue;
      running.timer?.cancel();
      this.#setUp(running);
    }
  }

  /** The namespace that a pod's containers share; `undefined` while it has none. */
  sandboxOf(podUid: string): NetNamespace | undefined {
    return this.#pods.get(podUid)?.netns;
  }

  /** A file that the kubelet writes for a pod's containers, as `/etc/resolv.conf`; `undefined` for others. */
  fileOf(podUid: string, path: string): string | undefined {
    const running = this.#pods.get(podUid);
    return running === undefined ? undefined : this.#podFile(running.pod, path);
  }

  #podFile(pod: Pod, path: string): string | undefined {
    const { api, config, machine } = this.#node;
    return podFile(pod, path, { api, config, files: machine.files });
  }

  /** The last lines that a container of a pod has logged; empty for programs that are not modelled. */
  logOf(podUid: string, container: string): readonly string[] {
    const processes = this.#pods.get(podUid)?.processes ?? [];
    return processes.find((p) => p.container.name === container)?.log ?? [];
  }

  /** Programs that are modelled and have ended with an error. */
  get crashedPrograms(): ContainerProcess[] {
    return [...this.#modelledProcesses].filter(({ crash }) => crash !== undefined);
  }

  /** Has programs close the connections that they keep open for later use. */
  hangUp(): void {
    for (const process of this.#modelledProcesses) process.hangUp();
  }

  /** Pods that this node runs. */
  get podCount(): number {
    return this.#pods.size;
  }

  #update(uid: string, pod: Pod): void {
    const running = this.#pods.get(uid);
    if (running === undefined) {
      if (isFinished(pod)) return;
      const added = new RunningPod(pod);
      this.#pods.set(uid, added);
      if (isTerminating(pod)) this.#terminate(added);
      else this.#setUp(added);
      return;
    }
    running.pod = pod;
    if (isTerminating(pod) && !running.terminating) this.#terminate(running);
  }

  // ---- coming up

  #setUp(running: RunningPod): void {
    if (running.inHostNetwork) {
      running.netns = this.#node.machine.initNs;
      running.addresses = this.#node.addresses;
      this.#startContainers(running);
      return;
    }
    if (!this.#networkReady || this.#options.bridge === undefined) {
      this.#waitForNetwork();
      return;
    }
    this.#attach(running, this.#options.bridge);
  }

  #attach(running: RunningPod, bridge: BridgeEngine): void {
    const { machine, random } = this.#node;
    const netns = machine.addNamespace(`cni-${uuid(random)}`);
    netns.loopback.setUp();
    const attachment = podAttachment(
      running.pod,
      netns,
      containerId(random),
      this.#options.keptAddresses(objectKey(running.pod)),
    );
    running.attempts++;
    const until = this.#node.clock.now + SANDBOX_TIMEOUT_MS;
    this.#addTo(running, bridge, { netns, attachment, until });
  }

  #addTo(running: RunningPod, bridge: BridgeEngine, sandbox: Omit<Sandboxing, "end">): void {
    const { netns, attachment } = sandbox;
    try {
      const result = bridge.attach(attachment);
      running.netns = netns;
      running.attachment = attachment;
      running.addresses = this.#addressesOf(result);
      this.#options.observer.attached(running.pod, result);
    } catch (error) {
      if (!(error instanceof CniError || error instanceof KernelError)) throw error;
      if (error instanceof CniWaiting) {
        this.#awaitPlugin(running, bridge, sandbox, error);
        return;
      }
      discard(bridge, attachment);
      this.#node.machine.deleteNamespace(netns);
      this.#attachFailed(running, error);
      return;
    }
    this.#startContainers(running);
  }

  /** The plugin is at it still: it goes on when it has what it waits for, or is killed when time is up. */
  #awaitPlugin(
    running: RunningPod,
    bridge: BridgeEngine,
    sandbox: Omit<Sandboxing, "end">,
    waiting: CniWaiting,
  ): void {
    if (running.attempts === 1) this.#writeCreating(running);
    const stop = waiting.whenOver(() => {
      this.#endSandboxing(running);
      this.#addTo(running, bridge, sandbox);
    });
    const timer = this.#node.clock.schedule(
      sandbox.until - this.#node.clock.now,
      () => {
        this.#abandonSandbox(running);
        const why = `rpc error: code = DeadlineExceeded desc = context deadline exceeded (${waiting.message})`;
        this.#attachFailed(running, new CniError(waiting.code, why));
      },
      { background: running.attempts >= AWAITED_ATTEMPTS },
    );
    const end = () => {
      stop();
      timer.cancel();
    };
    this.#sandboxing.set(running, { ...sandbox, end });
  }

  #endSandboxing(running: RunningPod): Sandboxing | undefined {
    const sandboxing = this.#sandboxing.get(running);
    this.#sandboxing.delete(running);
    sandboxing?.end();
    return sandboxing;
  }

  #abandonSandbox(running: RunningPod): void {
    const sandboxing = this.#endSandboxing(running);
    if (sandboxing === undefined) return;
    if (this.#options.bridge !== undefined) discard(this.#options.bridge, sandboxing.attachment);
    this.#node.machine.deleteNamespace(sandboxing.netns);
  }

  #attachFailed(running: RunningPod, error: Error): void {
    this.#options.observer.attachFailed(running.pod, error);
    this.#events.record(
      running.pod,
      "Warning",
      "FailedCreatePodSandBox",
      `Failed to create pod sandbox: failed to setup network for sandbox: ${error.message}`,
    );
    if (running.attempts === 1) this.#writeCreating(running);
    const background = running.attempts >= AWAITED_ATTEMPTS;
    running.timer = this.#node.clock.schedule(
      backOff(running.attempts),
      () => this.#setUp(running),
      { background },
    );
  }

  /** Addresses on the pod's interface, the cluster's first family first. */
  #addressesOf(result: CniResult): IpAddress[] {
    const all = (result.ips ?? [])
      .map(({ address }) => tryParseInterfaceAddress(address)?.address)
      .filter((a): a is IpAddress => a !== undefined);
    const families = this.#node.config.ipFamilies;
    const ordered = families.flatMap((family) =>
      all.filter((a) => (typeof a === "number" ? 4 : 6) === family),
    );
    // Kept as long as the pod: without room to grow.
    return ordered.slice();
  }

  #waitForNetwork(): void {
    this.#patience ??= this.#node.clock.schedule(NETWORK_PATIENCE_MS, () => {
      for (const running of this.#pods.values()) {
        if (running.netns !== undefined || running.terminating) continue;
        if (this.#sandboxing.has(running)) continue;
        this.#writeCreating(running);
        this.#events.record(running.pod, "Warning", "NetworkNotReady", NETWORK_NOT_READY);
      }
    });
  }

  #startContainers(running: RunningPod): void {
    const { pod } = running;
    const netns = running.netns as NetNamespace;
    const name = objectKey(pod);
    // A sidecar runs as long as the pod; other init containers have done their work at once.
    const sidecars = pod.spec.initContainers?.filter((c) => c.restartPolicy === "Always") ?? [];
    const containers =
      sidecars.length === 0 ? pod.spec.containers : [...sidecars, ...pod.spec.containers];
    running.processes = containers.map(
      (container) => new ContainerProcess(container, name, this.#modelled(running, container)),
    );
    for (const process of running.processes) {
      if (process.isModelled) this.#modelledProcesses.add(process);
      this.#startContainer(running, process);
    }
    if (this.#options.listenOnAll && !running.inHostNetwork) {
      const first = running.processes[0] as ContainerProcess;
      netns.sockets.catchAll = echoOnAllPorts(netns, first.owner);
    }
    this.#startProbes(running);
    this.#writeRunning(running);
    if (pod.metadata.ownerReferences?.[0]?.kind === "Job") {
      running.timer = this.#node.clock.schedule(JOB_MS, () => this.#succeed(running));
    }
  }

  #modelled(running: RunningPod, container: Container): ModelledProgram | undefined {
    const { programs } = this.#options;
    if (programs.length === 0) return undefined;
    const { pod } = running;
    const program = programs.find((p) => p.runs(container, pod));
    if (program === undefined) return undefined;
    const { api, machine, random } = this.#node;
    const files = new ContainerFiles(pod, container, api, machine.files, (path) =>
      this.#podFile(running.pod, path),
    );
    return {
      program,
      surroundings: {
        pod,
        node: this.#node,
        random: random.fork(`${objectKey(pod)}/${container.name}`),
        readFile: (path) => files.read(path),
      },
      objectOf: (path) => files.objectOf(path),
      ended: (process) => {
        this.#restartLater(running, process);
        this.#writeRunning(running);
      },
    };
  }

  #startContainer(running: RunningPod, process: ContainerProcess): void {
    if (!process.start(running.netns as NetNamespace)) this.#restartLater(running, process);
  }

  #restartLater(running: RunningPod, process: ContainerProcess): void {
    const { name } = process.container;
    this.#events.record(
      running.pod,
      "Warning",
      "BackOff",
      `Back-off restarting failed container ${name} in pod ${objectKey(running.pod)}: ${process.crash}`,
    );
    const restart = () => {
      process.restarts++;
      this.#startContainer(running, process);
      this.#writeRunning(running);
    };
    running.restartTimers ??= [];
    running.restartTimers.push(
      this.#node.clock.schedule(backOff(process.restarts + 1), restart, { background: true }),
    );
  }

  #startProbes(running: RunningPod): void {
    const address = running.addresses[0];
    if (address === undefined) return;
    for (const { container } of running.processes) {
      const { readinessProbe } = container;
      if (readinessProbe === undefined) continue;
      running.probes ??= new Map();
      running.probes.set(
        container.name,
        new ReadinessProbe(
          container,
          readinessProbe,
          this.#node.machine.initNs,
          address,
          this.#node.clock,
          () => this.#writeRunning(running),
        ),
      );
    }
  }

  // ---- going

  /** Programs are told to end, serve on for a moment, and end; then the network is taken down. */
  #terminate(running: RunningPod): void {
    running.terminating = true;
    running.timer?.cancel();
    const grace = 1000 * (running.pod.spec.terminationGracePeriodSeconds ?? 30);
    const runs = running.netns !== undefined;
    running.timer = this.#node.clock.schedule(runs ? Math.min(grace, TERMINATION_MS) : 0, () => {
      this.#tearDown(running);
      this.#pods.delete(running.pod.metadata.uid as string);
      this.#node.api.delete("Pod", objectKey(running.pod), { gracePeriodSeconds: 0 });
    });
  }

  #succeed(running: RunningPod): void {
    this.#tearDown(running);
    this.#pods.delete(running.pod.metadata.uid as string);
    const at = timestamp(this.#node.clock.now);
    this.#writeStatus(running, (status) => ({
      ...status,
      phase: "Succeeded",
      conditions: podConditions(at, { sandbox: false, containers: false, why: "PodCompleted" }),
      containerStatuses: (status.containerStatuses ?? []).map((c) => ({
        ...c,
        ready: false,
        started: false,
        state: { terminated: { exitCode: 0, reason: "Completed", finishedAt: at } },
      })),
    }));
  }

  /** The object is gone: so is the pod, at once. */
  #remove(uid: string): void {
    const running = this.#pods.get(uid);
    if (running === undefined) return;
    this.#pods.delete(uid);
    this.#tearDown(running);
  }

  #tearDown(running: RunningPod): void {
    stopTimers(running);
    this.#abandonSandbox(running);
    for (const process of running.processes) {
      process.stop();
      this.#modelledProcesses.delete(process);
    }
    const { netns, attachment } = running;
    if (attachment !== undefined && netns !== undefined) {
      if (this.#options.bridge !== undefined) discard(this.#options.bridge, attachment);
      this.#node.machine.deleteNamespace(netns);
      this.#options.observer.detached(running.pod);
    }
    running.netns = undefined;
    running.attachment = undefined;
  }

  // ---- status

  #writeCreating(running: RunningPod): void {
    const at = timestamp(this.#node.clock.now);
    this.#writeStatus(running, () => creatingStatus(running.pod, at, this.#hostIps));
  }

  #writeRunning(running: RunningPod): void {
    if (running.terminating || running.netns === undefined) return;
    const at = timestamp(this.#node.clock.now);
    const { spec } = running.pod;
    const calm =
      running.probes === undefined && running.processes.every((p) => p.running && p.restarts === 0);
    const readyOf = (p: ContainerProcess): boolean =>
      p.running && (running.probes?.get(p.container.name)?.ready ?? true);
    const allReady = calm || running.processes.every(readyOf);
    const statuses =
      calm && running.processes.length === spec.containers.length
        ? runningStatuses(spec.containers, at)
        : running.processes.map((p) =>
            containerStatus(p.container, at, {
              name: p.container.name,
              running: p.running,
              ready: readyOf(p),
              restarts: p.restarts,
              crash: p.crash,
            }),
          );
    const podIPs = running.inHostNetwork
      ? this.#hostIps
      : running.addresses.map((a) => ({ ip: formatIp(a) }));
    const first = podIPs[0];
    this.#writeStatus(running, (status) => ({
      phase: "Running",
      ...hosts(this.#hostIps),
      ...(first === undefined ? {} : { podIP: first.ip, podIPs }),
      startTime: status.startTime ?? at,
      conditions: podConditions(at, {
        sandbox: true,
        containers: allReady,
        ...(allReady ? {} : { why: "ContainersNotReady" }),
      }),
      containerStatuses: statuses,
    }));
  }

  #writeStatus(running: RunningPod, change: (status: PodStatus) => PodStatus): void {
    this.#node.api.update("Pod", objectKey(running.pod), (pod) => ({
      ...pod,
      status: change(pod.status ?? PENDING),
    }));
  }
}

const PENDING: PodStatus = { phase: "Pending" };

const NETWORK_NOT_READY =
  "network is not ready: container runtime network not ready: NetworkReady=false " +
  "reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";

function backOff(failures: number): number {
  return Math.min(LONGEST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (failures - 1));
}

function stopTimers(running: RunningPod): void {
  running.timer?.cancel();
  for (const timer of running.restartTimers ?? []) timer.cancel();
  for (const probe of running.probes?.values() ?? []) probe.stop();
}

/** As a runtime does: what DEL fails at is left behind. */
function discard(bridge: BridgeEngine, attachment: PodAttachment): void {
  try {
    bridge.detach(attachment);
  } catch (error) {
    if (!(error instanceof CniError || error instanceof KernelError)) throw error;
  }
}
