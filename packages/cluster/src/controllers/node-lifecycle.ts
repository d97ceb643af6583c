import {
  type ApiClient,
  type Clock,
  type Node,
  objectKey,
  type Pod,
  type Taint,
  timestamp,
} from "@cnilab/core";
import { EventRecorder } from "../api/event-recorder.ts";
import { isReady } from "./pod-state.ts";

/** How long a node may be silent (`--node-monitor-grace-period`). */
export const NODE_GRACE_MS = 40_000;
/** How long pods stay bound to a silent node: `tolerationSeconds` of the default toleration. */
export const EVICTION_MS = 300_000;

const UNREACHABLE: Taint = { key: "node.kubernetes.io/unreachable", effect: "NoExecute" };

/**
 * Notices machines that fell silent: after 40 seconds the node's condition is Unknown and its pods are
 * not ready, after 5 minutes more the pods are given up (kube-controller-manager pkg/controller/nodelifecycle
 * and tainteviction).
 */
export class NodeLifecycleController {
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #events: EventRecorder;
  readonly #isUp: (node: string) => boolean;

  /** @param isUp whether a node's kubelet still renews its lease */
  constructor(api: ApiClient, clock: Clock, isUp: (node: string) => boolean) {
    this.#api = api;
    this.#clock = clock;
    this.#events = new EventRecorder(api, clock, "node-controller");
    this.#isUp = isUp;
  }

  /** A machine fell silent at this moment. */
  silent(name: string): void {
    this.#clock.schedule(NODE_GRACE_MS, () => {
      const node = this.#api.get("Node", name);
      if (node === undefined || this.#isUp(name)) return;
      this.#events.record(
        node,
        "Normal",
        "NodeNotReady",
        `Node ${name} status is now: NodeNotReady`,
      );
      const now = timestamp(this.#clock.now);
      this.#api.update("Node", name, (n) => tainted(unknown(n, now), true));
      for (const pod of this.#podsOf(name)) this.#markNotReady(pod, now);
      this.#clock.schedule(EVICTION_MS, () => this.#evict(name));
    });
  }

  /** It is there again. */
  back(name: string): void {
    this.#api.update("Node", name, (node) => tainted(node, false));
  }

  #evict(name: string): void {
    if (this.#isUp(name)) return;
    for (const pod of this.#podsOf(name)) {
      if (bearsForEver(pod)) continue;
      this.#events.record(
        pod,
        "Normal",
        "TaintManagerEviction",
        `Marking for deletion Pod ${objectKey(pod)}`,
      );
      this.#api.delete("Pod", objectKey(pod));
    }
  }

  #podsOf(name: string): Pod[] {
    return this.#api.list("Pod").filter((pod) => pod.spec.nodeName === name);
  }

  #markNotReady(pod: Pod, now: string): void {
    if (!isReady(pod)) return;
    this.#api.update("Pod", objectKey(pod), (p) => {
      if (p.status === undefined) return p;
      const conditions = (p.status.conditions ?? []).map((c) =>
        c.type === "Ready" ? { ...c, status: "False" as const, lastTransitionTime: now } : c,
      );
      return { ...p, status: { ...p.status, conditions } };
    });
  }
}

function unknown(node: Node, now: string): Node {
  const others = (node.status?.conditions ?? []).filter(({ type }) => type !== "Ready");
  return {
    ...node,
    status: {
      ...node.status,
      conditions: [
        ...others,
        {
          type: "Ready",
          status: "Unknown",
          reason: "NodeStatusUnknown",
          message: "Kubelet stopped posting node status.",
          lastTransitionTime: now,
        },
      ],
    },
  };
}

function tainted(node: Node, is: boolean): Node {
  const { taints = [], ...spec } = node.spec ?? {};
  const others = taints.filter(({ key }) => key !== UNREACHABLE.key);
  if (!is && others.length === taints.length) return node;
  const all = is ? [...others, UNREACHABLE] : others;
  return { ...node, spec: all.length === 0 ? spec : { ...spec, taints: all } };
}

function bearsForEver(pod: Pod): boolean {
  return (pod.spec.tolerations ?? []).some(
    ({ key, operator, tolerationSeconds }) =>
      operator === "Exists" &&
      tolerationSeconds === undefined &&
      (key === undefined || key === "" || key === UNREACHABLE.key),
  );
}
