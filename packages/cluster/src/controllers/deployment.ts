import {
  type ApiClient,
  type Clock,
  type Condition,
  type Deployment,
  type IntOrString,
  objectKey,
  type PodTemplateSpec,
  type ReplicaSet,
  timestamp,
} from "@cnilab/core";
import type { Subscription } from "rxjs";
import { canonicalJson, templateHash } from "../api/name-suffix.ts";
import { OwnedObjects } from "./owned-objects.ts";
import { controllerReference } from "./owner.ts";
import { WorkQueue } from "./work-queue.ts";

const HASH_LABEL = "pod-template-hash";
const REVISION = "deployment.kubernetes.io/revision";

/** Turns Deployments into ReplicaSets, and rolls from one to the next (kube-controller-manager pkg/controller/deployment). */
export class DeploymentController {
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #queue: WorkQueue<string>;
  readonly #sets = new OwnedObjects<ReplicaSet>();
  readonly #keys = new Map<string, string>();

  constructor(api: ApiClient, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
    this.#queue = new WorkQueue(clock, (uid) => this.#reconcile(uid));
  }

  start(): Subscription {
    const subscription = this.#api.watch("Deployment").subscribe(({ type, object, old }) => {
      const uid = object.metadata.uid as string;
      if (type === "DELETED") {
        this.#keys.delete(uid);
        return;
      }
      this.#keys.set(uid, objectKey(object));
      if (old?.spec !== object.spec) this.#queue.add(uid);
    });
    subscription.add(
      this.#api.watch("ReplicaSet").subscribe((event) => {
        const owner = this.#sets.apply(event);
        if (owner !== undefined && this.#keys.has(owner)) this.#queue.add(owner);
      }),
    );
    return subscription;
  }

  #reconcile(uid: string): void {
    const key = this.#keys.get(uid);
    const deployment = key === undefined ? undefined : this.#api.get("Deployment", key);
    if (deployment === undefined || deployment.metadata.uid !== uid) return;
    if (deployment.metadata.deletionTimestamp !== undefined) return;
    const all = this.#current(uid);
    let current = all.find((set) => sameTemplate(set.spec.template, deployment.spec.template));
    if (current === undefined && deployment.spec.paused !== true) {
      current = this.#createReplicaSet(deployment, all);
    }
    const old = all.filter((set) => set !== current);
    if (current !== undefined) this.#roll(deployment, current, old);
    this.#cleanUp(deployment, old);
    this.#writeStatus(key as string, uid, current);
  }

  /** Its ReplicaSets as they are now, which may be newer than what was watched. */
  #current(uid: string): ReplicaSet[] {
    return this.#sets
      .of(uid)
      .map((set) => this.#api.get("ReplicaSet", objectKey(set)))
      .filter((set): set is ReplicaSet => set !== undefined);
  }

  #createReplicaSet(deployment: Deployment, all: readonly ReplicaSet[]): ReplicaSet {
    const { name, namespace } = deployment.metadata;
    const { template } = deployment.spec;
    const hash = templateHash(template);
    const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
    const revision = 1 + Math.max(0, ...all.map(revisionOf));
    this.#api.update("Deployment", objectKey(deployment), (d) => annotate(d, revision));
    return this.#api.create<"ReplicaSet">({
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${name}-${hash}`,
        namespace: namespace as string,
        labels,
        annotations: { [REVISION]: String(revision) },
        ownerReferences: [controllerReference(deployment)],
      },
      spec: {
        replicas: 0,
        selector: {
          ...deployment.spec.selector,
          matchLabels: { ...deployment.spec.selector.matchLabels, [HASH_LABEL]: hash },
        },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    });
  }

  #roll(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): void {
    const wanted = deployment.spec.replicas ?? 1;
    const oldPods = sum(old, (s) => s.status?.replicas ?? 0);
    const oldWanted = sum(old, replicasOf);
    if (oldWanted === 0 && oldPods === 0) {
      this.#scale(current, wanted);
      return;
    }
    if (deployment.spec.strategy?.type === "Recreate") {
      for (const set of old) this.#scale(set, 0);
      // New pods are made when the old ones are gone.
      if (oldPods === 0) this.#scale(current, wanted);
      return;
    }
    const { surge, unavailable } = rollingLimits(deployment);
    // What a ReplicaSet still has counts as well as what it is to have.
    const total =
      replicasOf(current) + sum(old, (s) => Math.max(replicasOf(s), s.status?.replicas ?? 0));
    const room = wanted + surge - total;
    const grown = Math.min(wanted, replicasOf(current) + Math.max(0, room));
    // One step at a time: what it changes brings the controller back (rolloutRolling).
    if (grown > replicasOf(current)) {
      this.#scale(current, grown);
      return;
    }
    if (replicasOf(current) > wanted) {
      this.#scale(current, wanted);
      return;
    }
    this.#scaleDownOld(current, old, wanted - unavailable);
  }

  /** `reconcileOldReplicaSets`: first what is not available anyway, then as the minimum allows. */
  #scaleDownOld(current: ReplicaSet, old: readonly ReplicaSet[], least: number): void {
    const currentAvailable = current.status?.availableReplicas ?? 0;
    const currentMissing = replicasOf(current) - currentAvailable;
    const total = replicasOf(current) + sum(old, replicasOf);
    let spare = total - least - currentMissing;
    const wanted = new Map(old.map((set) => [set, replicasOf(set)]));
    for (const set of old) {
      const unhealthy = replicasOf(set) - (set.status?.availableReplicas ?? 0);
      const down = Math.max(0, Math.min(spare, unhealthy));
      wanted.set(set, replicasOf(set) - down);
      spare -= down;
    }
    let available =
      currentAvailable + sum(old, (s) => s.status?.availableReplicas ?? 0) - Math.max(0, least);
    for (const set of old) {
      const down = Math.max(0, Math.min(available, spare, wanted.get(set) as number));
      wanted.set(set, (wanted.get(set) as number) - down);
      available -= down;
      spare -= down;
    }
    for (const [set, replicas] of wanted) this.#scale(set, replicas);
  }

  #scale(set: ReplicaSet, replicas: number): void {
    this.#api.update("ReplicaSet", objectKey(set), (s) =>
      s.spec.replicas === replicas ? s : { ...s, spec: { ...s.spec, replicas } },
    );
  }

  /** Old ReplicaSets beyond the revision limit go. */
  #cleanUp(deployment: Deployment, old: readonly ReplicaSet[]): void {
    const idle = old.filter((s) => replicasOf(s) === 0 && (s.status?.replicas ?? 0) === 0);
    const surplus = idle.length - (deployment.spec.revisionHistoryLimit ?? 10);
    if (surplus <= 0) return;
    idle.sort((x, y) => revisionOf(x) - revisionOf(y));
    for (const set of idle.slice(0, surplus)) this.#api.delete("ReplicaSet", objectKey(set));
  }

  #writeStatus(key: string, uid: string, current: ReplicaSet | undefined): void {
    const all = this.#current(uid);
    const replicas = sum(all, (s) => s.status?.replicas ?? 0);
    const ready = sum(all, (s) => s.status?.readyReplicas ?? 0);
    const now = current && this.#api.get("ReplicaSet", objectKey(current));
    const updated = now?.status?.replicas ?? 0;
    this.#api.update("Deployment", key, (d) => {
      const unavailable = Math.max(0, (d.spec.replicas ?? 1) - ready);
      const { status } = d;
      if (
        status?.replicas === replicas &&
        status.readyReplicas === ready &&
        status.updatedReplicas === updated &&
        status.unavailableReplicas === unavailable &&
        status.observedGeneration === d.metadata.generation
      ) {
        return d;
      }
      return {
        ...d,
        status: {
          observedGeneration: d.metadata.generation as number,
          replicas,
          updatedReplicas: updated,
          readyReplicas: ready,
          availableReplicas: ready,
          unavailableReplicas: unavailable,
          conditions: [this.#available(d, unavailable)],
        },
      };
    });
  }

  #available(deployment: Deployment, unavailable: number): Condition {
    const enough = unavailable <= rollingLimits(deployment).unavailable;
    return {
      type: "Available",
      status: enough ? "True" : "False",
      reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      lastTransitionTime: timestamp(this.#clock.now),
    };
  }
}

/** Pods more and pods fewer than wanted; percentages round up and down (`ResolveFenceposts`). */
export function rollingLimits(deployment: Deployment): { surge: number; unavailable: number } {
  const wanted = deployment.spec.replicas ?? 1;
  const { type, rollingUpdate } = deployment.spec.strategy ?? {};
  if (type === "Recreate") return { surge: 0, unavailable: 0 };
  const surge = resolve(rollingUpdate?.maxSurge ?? "25%", wanted, Math.ceil);
  const unavailable = resolve(rollingUpdate?.maxUnavailable ?? "25%", wanted, Math.floor);
  // Both zero would be a standstill.
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

function resolve(value: IntOrString, of: number, round: (n: number) => number): number {
  if (typeof value === "number") return value;
  return round((Number.parseInt(value, 10) * of) / 100);
}

/** `EqualIgnoreHash`: templates that differ in the hash label alone are the same. */
function sameTemplate(x: PodTemplateSpec | undefined, y: PodTemplateSpec): boolean {
  return x !== undefined && (x === y || templateText(x) === templateText(y));
}

const texts = new WeakMap<object, string>();

function templateText(template: PodTemplateSpec): string {
  let text = texts.get(template);
  if (text === undefined) {
    const { [HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {};
    const { creationTimestamp: __, ...metadata } = template.metadata ?? {};
    text = canonicalJson({ metadata: { ...metadata, labels }, spec: template.spec });
    texts.set(template, text);
  }
  return text;
}

function annotate(deployment: Deployment, revision: number): Deployment {
  const annotations = { ...deployment.metadata.annotations, [REVISION]: String(revision) };
  return { ...deployment, metadata: { ...deployment.metadata, annotations } };
}

function revisionOf(set: ReplicaSet): number {
  return Number(set.metadata.annotations?.[REVISION] ?? 0);
}

function replicasOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += of(item);
  return total;
}
