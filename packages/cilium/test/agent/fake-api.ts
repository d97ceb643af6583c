import {
  type ApiClient,
  type Kind,
  type KubeObject,
  kindOf,
  objectKey,
  timestamp,
  type VirtualClock,
  type WatchEvent,
} from "@cnilab/core";
import { concat, defer, from, type Observable, Subject } from "rxjs";

/** An API server that tells at once, and checks nothing. */
export class FakeApi {
  readonly #clock: VirtualClock;
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #changes = new Map<string, Subject<WatchEvent<KubeObject>>>();
  #uid = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  get client(): ApiClient {
    return this as unknown as ApiClient;
  }

  get(kind: string, key: string): KubeObject | undefined {
    return this.#of(kind).get(key);
  }

  list(kind: string): KubeObject[] {
    return [...this.#of(kind).values()];
  }

  watch(kind: string): Observable<WatchEvent<KubeObject>> {
    const now = defer(() =>
      from(this.list(kind).map((object) => ({ type: "ADDED", object }) as const)),
    );
    return concat(now, this.#told(kind));
  }

  create(object: KubeObject): KubeObject {
    const kind = kindOf(object);
    const key = objectKey(object);
    if (this.get(kind, key) !== undefined) throw new Error(`${kind} ${key} is there`);
    const { metadata } = object;
    const creationTimestamp = timestamp(this.#clock.now);
    const uid = metadata.uid ?? `uid-${++this.#uid}`;
    const created = { ...object, metadata: { uid, creationTimestamp, ...metadata } };
    this.#of(kind).set(key, created);
    this.#told(kind).next({ type: "ADDED", object: created });
    return created;
  }

  update(kind: string, key: string, change: (object: never) => KubeObject): void {
    const old = this.get(kind, key);
    if (old === undefined) return;
    const object = change(old as never);
    if (object === old) return;
    this.#of(kind).set(key, object);
    this.#told(kind).next({ type: "MODIFIED", object, old });
  }

  /** As `kubectl apply`. */
  put(object: KubeObject): void {
    const kind = kindOf(object);
    const key = objectKey(object);
    if (this.get(kind, key) === undefined) this.create(object);
    else {
      this.update(kind, key, (old: KubeObject) => ({
        ...object,
        metadata: { ...old.metadata, ...object.metadata },
      }));
    }
  }

  delete(kind: Kind, key: string): void {
    const object = this.get(kind, key);
    if (object === undefined) return;
    this.#of(kind).delete(key);
    this.#told(kind).next({ type: "DELETED", object });
  }

  #of(kind: string): Map<string, KubeObject> {
    const objects = this.#objects.get(kind) ?? new Map<string, KubeObject>();
    this.#objects.set(kind, objects);
    return objects;
  }

  #told(kind: string): Subject<WatchEvent<KubeObject>> {
    const changes = this.#changes.get(kind) ?? new Subject<WatchEvent<KubeObject>>();
    this.#changes.set(kind, changes);
    return changes;
  }
}
