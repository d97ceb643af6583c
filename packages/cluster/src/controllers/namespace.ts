import { type Clock, type Kind, objectKey } from "@cnilab/core";
import { Subscription } from "rxjs";
import type { ApiStore } from "../api/api-store.ts";
import { isNamespaced } from "../api/kind-scope.ts";
import { WorkQueue } from "./work-queue.ts";

/** Namespaces that every cluster has. */
export const INITIAL_NAMESPACES: readonly string[] = [
  "default",
  "kube-node-lease",
  "kube-public",
  "kube-system",
];

/** Empties a namespace that is to go, then lets it go (kube-controller-manager pkg/controller/namespace). */
export class NamespaceController {
  readonly #api: ApiStore;
  readonly #queue: WorkQueue<string>;
  readonly #terminating = new Set<string>();

  constructor(api: ApiStore, clock: Clock) {
    this.#api = api;
    this.#queue = new WorkQueue(clock, (name) => this.#reconcile(name));
  }

  start(): Subscription {
    const subscription = new Subscription();
    subscription.add(
      this.#api.watch("Namespace").subscribe(({ type, object }) => {
        const { name, deletionTimestamp } = object.metadata;
        if (type === "DELETED") this.#terminating.delete(name);
        else if (deletionTimestamp !== undefined && !this.#terminating.has(name)) {
          this.#terminating.add(name);
          this.#queue.add(name);
        }
      }),
    );
    // Pods take their time to go; everything else is gone at once.
    subscription.add(
      this.#api.watch("Pod").subscribe(({ type, object }) => {
        const namespace = object.metadata.namespace as string;
        if (type === "DELETED" && this.#terminating.has(namespace)) this.#queue.add(namespace);
      }),
    );
    return subscription;
  }

  #reconcile(name: string): void {
    if (!this.#terminating.has(name)) return;
    let left = 0;
    for (const kind of this.#api.kinds) {
      if (!isNamespaced(kind, this.#api.resources)) continue;
      for (const object of this.#api.list(kind as Kind, name)) {
        this.#api.delete(kind as Kind, objectKey(object));
      }
      left += this.#api.list(kind as Kind, name).length;
    }
    if (left === 0) this.#api.delete("Namespace", name, { gracePeriodSeconds: 0 });
  }
}
