import type { ApiClient, Kind, Kinds, KubeObject, WatchEvent } from "@cnilab/core";
import { objectKey } from "@cnilab/core";
import { concat, from, type Observable, Subject } from "rxjs";

/** Objects that can be watched, as the API server's. */
export class ObjectsApi implements Pick<ApiClient, "watch"> {
  readonly #objects = new Map<string, KubeObject>();
  readonly #changes = new Map<string, Subject<WatchEvent>>();

  constructor(objects: readonly KubeObject[] = []) {
    for (const object of objects) this.#objects.set(`${object.kind} ${objectKey(object)}`, object);
  }

  watch<K extends Kind>(kind: K): Observable<WatchEvent<Kinds[K]>> {
    const there = [...this.#objects.values()].filter((object) => object.kind === kind);
    const added = there.map((object): WatchEvent => ({ type: "ADDED", object }));
    return concat(from(added), this.#changesOf(kind)) as Observable<WatchEvent<Kinds[K]>>;
  }

  put(object: KubeObject): void {
    const key = `${object.kind} ${objectKey(object)}`;
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#changesOf(object.kind).next(
      old === undefined ? { type: "ADDED", object } : { type: "MODIFIED", object, old },
    );
  }

  delete(kind: Kind, name: string): void {
    const object = this.#objects.get(`${kind} ${name}`);
    this.#objects.delete(`${kind} ${name}`);
    if (object !== undefined) this.#changesOf(kind).next({ type: "DELETED", object });
  }

  #changesOf(kind: string): Subject<WatchEvent> {
    const there = this.#changes.get(kind) ?? new Subject<WatchEvent>();
    this.#changes.set(kind, there);
    return there;
  }
}
