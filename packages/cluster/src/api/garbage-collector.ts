import { type Kind, type KubeObject, kindOf, objectKey } from "@cnilab/core";
import { Subscription } from "rxjs";
import type { ApiStore } from "./api-store.ts";

/** Kinds that others own, beside those that a CNI brings along. */
const DEPENDENTS: readonly Kind[] = ["ReplicaSet", "Pod", "Job", "EndpointSlice"];
/** Kinds whose end takes others along. */
const OWNERS: readonly Kind[] = [
  "Deployment",
  "ReplicaSet",
  "ReplicationController",
  "StatefulSet",
  "DaemonSet",
  "Job",
  "Service",
  "Endpoints",
  "Pod",
  "Node",
];

/**
 * Deletes what a deleted object owned (background propagation). Objects whose owner was never there
 * stay, unlike in a real cluster: input is often a part of one.
 */
export class GarbageCollector {
  readonly #api: ApiStore;
  /** Objects by the uid of each owner. */
  readonly #owned = new Map<string, Map<string, KubeObject>>();

  constructor(api: ApiStore) {
    this.#api = api;
  }

  start(): Subscription {
    const subscription = new Subscription();
    const brought = this.#api.resources.all.map(({ group, version, kind }) =>
      kindOf({ apiVersion: `${group}/${version}`, kind }),
    );
    for (const kind of [...DEPENDENTS, ...brought]) {
      subscription.add(
        this.#api.watch(kind).subscribe(({ type, object }) => {
          if (type === "ADDED") this.#note(object);
          if (type === "DELETED") this.#forget(object);
        }),
      );
    }
    for (const kind of OWNERS) {
      subscription.add(
        this.#api.watch(kind).subscribe(({ type, object }) => {
          if (type === "DELETED") this.#collect(object.metadata.uid as string);
        }),
      );
    }
    return subscription;
  }

  #note(object: KubeObject): void {
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      let owned = this.#owned.get(uid);
      if (owned === undefined) {
        owned = new Map();
        this.#owned.set(uid, owned);
      }
      owned.set(object.metadata.uid as string, object);
    }
  }

  #forget(object: KubeObject): void {
    for (const { uid } of object.metadata.ownerReferences ?? []) {
      const owned = this.#owned.get(uid);
      owned?.delete(object.metadata.uid as string);
      if (owned?.size === 0) this.#owned.delete(uid);
    }
  }

  #collect(uid: string): void {
    const owned = this.#owned.get(uid);
    this.#owned.delete(uid);
    for (const object of owned?.values() ?? []) {
      this.#api.delete(kindOf(object), objectKey(object));
    }
  }
}
