import {
  type ApiClient,
  type Clock,
  type Labels,
  objectKey,
  type Pod,
  type PodTemplateSpec,
  type ReplicaSet,
} from "@cnilab/core";
import type { Subscription } from "rxjs";
import { OwnedObjects } from "./owned-objects.ts";
import { byWorth, isActive, isReady } from "./pod-state.ts";
import { generatedName, podFromTemplate } from "./pod-template.ts";
import { WorkQueue } from "./work-queue.ts";

/** The older form of a ReplicaSet; its selector is a plain set of labels. */
export interface ReplicationController extends Omit<ReplicaSet, "kind" | "spec"> {
  readonly kind: "ReplicationController";
  readonly spec: Omit<ReplicaSet["spec"], "selector"> & { readonly selector?: Labels };
}

declare module "@cnilab/core" {
  interface Kinds {
    ReplicationController: ReplicationController;
  }
}

/**
 * Keeps as many pods as a ReplicaSet, or ReplicationController, asks for. Orphaned pods are not
 * adopted; `minReadySeconds` is not waited for.
 */
export class ReplicaSetController {
  readonly #api: ApiClient;
  readonly #kind: "ReplicaSet" | "ReplicationController";
  readonly #queue: WorkQueue<string>;
  readonly #pods = new OwnedObjects<Pod>();
  readonly #keys = new Map<string, string>();
  /** How many pods each has made. */
  readonly #made = new Map<string, number>();

  constructor(api: ApiClient, clock: Clock, kind: "ReplicaSet" | "ReplicationController") {
    this.#api = api;
    this.#kind = kind;
    this.#queue = new WorkQueue(clock, (uid) => this.#reconcile(uid));
  }

  start(): Subscription {
    const subscription = this.#api.watch(this.#kind).subscribe(({ type, object, old }) => {
      const uid = object.metadata.uid as string;
      if (type === "DELETED") {
        this.#keys.delete(uid);
        this.#made.delete(uid);
        return;
      }
      this.#keys.set(uid, objectKey(object));
      if (old?.spec !== object.spec) this.#queue.add(uid);
    });
    subscription.add(
      this.#api.watch("Pod").subscribe((event) => {
        const owner = this.#pods.apply(event);
        if (owner !== undefined && this.#keys.has(owner)) this.#queue.add(owner);
      }),
    );
    return subscription;
  }

  #reconcile(uid: string): void {
    const key = this.#keys.get(uid);
    const set = key === undefined ? undefined : this.#api.get(this.#kind, key);
    if (key === undefined || set === undefined || set.metadata.uid !== uid) return;
    const wanted = set.spec.replicas ?? 1;
    const active = this.#pods.of(uid).filter(isActive);
    const { template } = set.spec;
    if (template !== undefined && set.metadata.deletionTimestamp === undefined) {
      for (let i = active.length; i < wanted; i++) this.#createPod(set, template);
      if (active.length > wanted) this.#deletePods(active, active.length - wanted);
    }
    this.#writeStatus(key, active);
  }

  #createPod(set: ReplicaSet | ReplicationController, template: PodTemplateSpec): void {
    const uid = set.metadata.uid as string;
    const { name, next } = generatedName(
      this.#api,
      "Pod",
      set.metadata.namespace as string,
      `${set.metadata.name}-`,
      this.#made.get(uid) ?? 0,
    );
    this.#made.set(uid, next);
    this.#api.create<"Pod">(podFromTemplate(set, template, name));
  }

  #deletePods(active: Pod[], count: number): void {
    for (const pod of active.sort(byWorth).slice(0, count)) {
      this.#api.delete("Pod", objectKey(pod));
    }
  }

  #writeStatus(key: string, active: readonly Pod[]): void {
    const ready = active.filter(isReady).length;
    this.#api.update(this.#kind, key, (set) => {
      const { status } = set;
      if (
        status?.replicas === active.length &&
        status.readyReplicas === ready &&
        status.observedGeneration === set.metadata.generation
      ) {
        return set;
      }
      return {
        ...set,
        status: {
          observedGeneration: set.metadata.generation as number,
          replicas: active.length,
          fullyLabeledReplicas: active.length,
          readyReplicas: ready,
          availableReplicas: ready,
        },
      };
    });
  }
}
