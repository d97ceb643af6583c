import {
  type ApiClient,
  type Clock,
  type Node,
  objectKey,
  type Pod,
  timestamp,
} from "@cnilab/core";
import type { Subscription } from "rxjs";
import { EventRecorder } from "../api/event-recorder.ts";
import { controllerUid } from "../controllers/owner.ts";
import { isFinished } from "../controllers/pod-state.ts";
import { WorkQueue } from "../controllers/work-queue.ts";
import { type HostPort, HostPorts, hostPortsOf } from "./host-ports.ts";
import { unfitness } from "./node-fit.ts";
import { NodePool } from "./node-pool.ts";

/** What the scheduler keeps of a node. */
interface NodeState {
  readonly name: string;
  node: Node;
  pods: number;
  readonly hostPorts: HostPorts;
}

/**
 * Binds pods to nodes: those that suit (selector, affinity, taints, host ports, number of pods), then
 * evenly. It is deterministic and needs constant time a pod. Processor and memory are not modelled.
 */
export class Scheduler {
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #events: EventRecorder;
  readonly #queue: WorkQueue<string>;
  readonly #nodes = new Map<string, NodeState>();
  /** By what the pods demand. */
  readonly #pools = new Map<string, { readonly example: Pod; readonly pool: NodePool }>();
  readonly #unschedulable = new Set<string>();

  constructor(api: ApiClient, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
    this.#events = new EventRecorder(api, clock, "default-scheduler");
    this.#queue = new WorkQueue(clock, (key) => this.#schedule(key));
  }

  start(): Subscription {
    const subscription = this.#api.watch("Node").subscribe(({ type, object, old }) => {
      if (type === "DELETED") this.#nodeGone(object.metadata.name);
      else if (type === "ADDED" || old?.spec !== object.spec || labelsDiffer(object, old)) {
        this.#nodeChanged(object);
      }
    });
    subscription.add(
      this.#api.watch("Pod").subscribe(({ type, object, old }) => {
        const was = old !== undefined && occupies(old);
        const is = type !== "DELETED" && occupies(object);
        if (is && !was) this.#occupied(object, 1);
        if (was && !is) this.#occupied(old as Pod, -1);
        if (type === "ADDED" && object.spec.nodeName === undefined)
          this.#queue.add(objectKey(object));
        if (type === "DELETED") this.#unschedulable.delete(objectKey(object));
      }),
    );
    return subscription;
  }

  #nodeChanged(node: Node): void {
    const { name } = node.metadata;
    const state = this.#nodes.get(name);
    if (state === undefined) {
      this.#nodes.set(name, { name, node, pods: 0, hostPorts: new HostPorts() });
    } else {
      state.node = node;
    }
    const pods = state?.pods ?? 0;
    for (const { example, pool } of this.#pools.values()) {
      const fits = unfitness(node, example) === undefined;
      if (fits && !pool.has(name)) pool.add(name, pods);
      if (!fits) pool.remove(name);
    }
    this.#retry();
  }

  #nodeGone(name: string): void {
    this.#nodes.delete(name);
    for (const { pool } of this.#pools.values()) pool.remove(name);
  }

  #occupied(pod: Pod, change: 1 | -1): void {
    const name = pod.spec.nodeName as string;
    const state = this.#nodes.get(name);
    if (state === undefined) return;
    state.pods += change;
    for (const port of hostPortsOf(pod)) state.hostPorts.change(port, change);
    for (const { pool } of this.#pools.values()) pool.changed(name, ownerOf(pod), change);
    if (change < 0) this.#retry();
  }

  #retry(): void {
    for (const key of this.#unschedulable) this.#queue.add(key);
  }

  #schedule(key: string): void {
    const pod = this.#api.get("Pod", key);
    if (pod === undefined || pod.spec.nodeName !== undefined) return;
    const ports = hostPortsOf(pod);
    const chosen = this.#pool(pod).choose(ownerOf(pod), (name) => this.#hasRoom(name, ports));
    if (chosen === undefined) {
      this.#unschedulable.add(key);
      this.#reportUnschedulable(pod, ports);
      return;
    }
    this.#unschedulable.delete(key);
    this.#api.update("Pod", key, (p) => ({ ...p, spec: { ...p.spec, nodeName: chosen } }));
  }

  #hasRoom(name: string, ports: readonly HostPort[]): boolean {
    const state = this.#nodes.get(name) as NodeState;
    if (state.pods >= podCapacity(state.node)) return false;
    return !ports.some((port) => state.hostPorts.conflicts(port));
  }

  #pool(pod: Pod): NodePool {
    const { nodeSelector, affinity, tolerations } = pod.spec;
    const demands = JSON.stringify([nodeSelector, affinity?.nodeAffinity, tolerations]);
    let entry = this.#pools.get(demands);
    if (entry === undefined) {
      entry = { example: pod, pool: new NodePool() };
      for (const { name, node, pods } of this.#nodes.values()) {
        if (unfitness(node, pod) === undefined) entry.pool.add(name, pods);
      }
      this.#pools.set(demands, entry);
    }
    return entry.pool;
  }

  #reportUnschedulable(pod: Pod, ports: readonly HostPort[]): void {
    const reasons = new Map<string, number>();
    for (const { name, node } of this.#nodes.values()) {
      const reason =
        unfitness(node, pod) ?? (this.#hasRoom(name, ports) ? undefined : this.#full(name));
      if (reason !== undefined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const why = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
    const message = `0/${this.#nodes.size} nodes are available${why.length === 0 ? "" : `: ${why.join(", ")}`}.`;
    this.#api.update("Pod", objectKey(pod), (p) => {
      if (p.status?.conditions?.[0]?.message === message) return p;
      return {
        ...p,
        status: {
          ...p.status,
          phase: "Pending",
          conditions: [
            {
              type: "PodScheduled",
              status: "False",
              reason: "Unschedulable",
              message,
              lastTransitionTime: timestamp(this.#clock.now),
            },
          ],
        },
      };
    });
    this.#events.record(pod, "Warning", "FailedScheduling", message);
  }

  #full(name: string): string {
    const state = this.#nodes.get(name) as NodeState;
    return state.pods >= podCapacity(state.node)
      ? "Too many pods"
      : "node(s) didn't have free ports for the requested pod ports";
  }
}

/** Whether the pod takes up a place on a node. */
function occupies(pod: Pod): boolean {
  return pod.spec.nodeName !== undefined && !isFinished(pod);
}

function ownerOf(pod: Pod): string {
  return controllerUid(pod) ?? (pod.metadata.namespace as string);
}

function podCapacity(node: Node): number {
  const pods = node.status?.allocatable?.["pods"];
  return pods === undefined ? Number.POSITIVE_INFINITY : Number(pods);
}

function labelsDiffer(node: Node, old: Node | undefined): boolean {
  return (
    node.metadata.labels !== old?.metadata.labels ||
    node.metadata.deletionTimestamp !== old?.metadata.deletionTimestamp
  );
}
