import { type ApiClient, type Clock, type Kinds, objectKey, type Pod } from "@cnilab/core";
import type { Subscription } from "rxjs";
import { OwnedObjects } from "./owned-objects.ts";
import { WorkQueue } from "./work-queue.ts";

/** Kinds whose controllers own pods. */
type WorkloadKind = "StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet" | "ReplicationController";

/** What controllers of pods have in common: they look again when the workload or one of its pods changed. */
export abstract class WorkloadController<K extends WorkloadKind> {
  protected readonly api: ApiClient;
  protected readonly clock: Clock;
  protected readonly kind: K;
  readonly #queue: WorkQueue<string>;
  readonly #pods = new OwnedObjects<Pod>();
  readonly #keys = new Map<string, string>();

  constructor(api: ApiClient, clock: Clock, kind: K) {
    this.api = api;
    this.clock = clock;
    this.kind = kind;
    this.#queue = new WorkQueue(clock, (uid) => this.#reconcile(uid));
  }

  /** Does what is missing between the workload and its pods. */
  protected abstract reconcile(workload: Kinds[K], pods: Pod[]): void;

  /** The workload is gone. */
  protected forget(_uid: string): void {}

  start(): Subscription {
    const subscription = this.api.watch(this.kind).subscribe(({ type, object, old }) => {
      const uid = object.metadata.uid as string;
      if (type === "DELETED") {
        this.#keys.delete(uid);
        this.forget(uid);
        return;
      }
      this.#keys.set(uid, objectKey(object));
      if (old?.spec !== object.spec) this.#queue.add(uid);
    });
    subscription.add(
      this.api.watch("Pod").subscribe((event) => {
        const owner = this.#pods.apply(event);
        if (owner !== undefined && this.#keys.has(owner)) this.#queue.add(owner);
      }),
    );
    return subscription;
  }

  /** Looks at all workloads of the kind again. */
  protected lookAtAll(): void {
    for (const uid of this.#keys.keys()) this.#queue.add(uid);
  }

  #reconcile(uid: string): void {
    const key = this.#keys.get(uid);
    const workload = key === undefined ? undefined : this.api.get(this.kind, key);
    if (workload === undefined || workload.metadata.uid !== uid) return;
    if (workload.metadata.deletionTimestamp !== undefined) return;
    this.reconcile(workload, this.#pods.of(uid));
  }

  /** Replaces the status where it differs from the present one. */
  protected writeStatus(workload: Kinds[K], status: Readonly<Record<string, unknown>>): void {
    this.api.update(this.kind, objectKey(workload), (now) => {
      const old = (now as { readonly status?: Readonly<Record<string, unknown>> }).status;
      const same =
        old !== undefined && Object.keys(status).every((field) => old[field] === status[field]);
      return same ? now : ({ ...now, status } as Kinds[K]);
    });
  }
}
