import type { Observable } from "rxjs";
import type { Kind, Kinds } from "./api/kinds.ts";
import type { KubeObject } from "./api/meta.ts";

/** One change of one object, as the API server's watch reports it. */
export interface WatchEvent<T extends KubeObject = KubeObject> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
  /** The object before the change; absent for ADDED. */
  readonly old?: T;
}

/** All objects of a kind at one moment, by {@link objectKey}. Immutable. */
export interface Snapshot<T extends KubeObject = KubeObject> {
  /** Grows with every change of this kind. */
  readonly version: number;
  readonly objects: ReadonlyMap<string, T>;
}

/** `namespace/name`, or `name` for objects without a namespace. */
export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** What a controller or node agent sees of the API server. */
export interface ApiClient {
  get<K extends Kind>(kind: K, key: string): Kinds[K] | undefined;
  list<K extends Kind>(kind: K, namespace?: string): readonly Kinds[K][];
  /** Starts with an ADDED event for each object there is. */
  watch<K extends Kind>(kind: K): Observable<WatchEvent<Kinds[K]>>;
  /** As {@link watch}, for the pods bound to one node only. */
  watchPodsOfNode(nodeName: string): Observable<WatchEvent<Kinds["Pod"]>>;
  /**
   * The whole of a kind, again after each change; changes of one moment come together. All
   * subscribers are handed the same object, so what they derive from it can be shared, too.
   */
  snapshots<K extends Kind>(kind: K): Observable<Snapshot<Kinds[K]>>;
  create<K extends Kind>(object: Kinds[K]): Kinds[K];
  /**
   * Replaces the object by what `change` makes of it; returns `undefined` when there is no such
   * object. Nothing happens when `change` returns its argument.
   */
  update<K extends Kind>(
    kind: K,
    key: string,
    change: (object: Kinds[K]) => Kinds[K],
  ): Kinds[K] | undefined;
  /**
   * A pod that runs on a node, and a namespace, are only marked with a deletion time: they go when
   * the kubelet, or the namespace controller, deletes them with a grace period of 0.
   */
  delete<K extends Kind>(kind: K, key: string, options?: DeleteOptions): void;
}

export interface DeleteOptions {
  /** 0 removes the object at once. */
  readonly gracePeriodSeconds?: number;
}
