import {
  type ApiClient,
  type Clock,
  type Kind,
  type Kinds,
  type Node,
  objectKey,
  type Snapshot,
} from "@cnilab/core";
import { Observable, Subject } from "rxjs";

/** An API server that knows nodes only, and hands out snapshots as the cluster's does: one a moment. */
export class NodeApi {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Node>();
  readonly #changes = new Subject<Snapshot<Node>>();
  #snapshot: Snapshot<Node> | undefined;
  #version = 0;
  #due = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What a program on a node uses. */
  get client(): ApiClient {
    return this as unknown as ApiClient;
  }

  put(node: Node): void {
    this.#nodes.set(objectKey(node), node);
    this.#changed();
  }

  remove(name: string): void {
    this.#nodes.delete(name);
    this.#changed();
  }

  node(name: string): Node {
    return this.#nodes.get(name) as Node;
  }

  get<K extends Kind>(_kind: K, key: string): Kinds[K] | undefined {
    return this.#nodes.get(key) as Kinds[K] | undefined;
  }

  update<K extends Kind>(
    _kind: K,
    key: string,
    change: (object: Kinds[K]) => Kinds[K],
  ): Kinds[K] | undefined {
    const old = this.#nodes.get(key);
    if (old === undefined) return undefined;
    const now = change(old as Kinds[K]);
    if (now !== old) this.put(now as Node);
    return now;
  }

  snapshots<K extends Kind>(_kind: K): Observable<Snapshot<Kinds[K]>> {
    return new Observable((observer) => {
      observer.next(this.#current() as unknown as Snapshot<Kinds[K]>);
      return this.#changes.subscribe((s) => observer.next(s as unknown as Snapshot<Kinds[K]>));
    });
  }

  #current(): Snapshot<Node> {
    this.#snapshot ??= { version: this.#version, objects: new Map(this.#nodes) };
    return this.#snapshot;
  }

  #changed(): void {
    this.#version++;
    this.#snapshot = undefined;
    if (this.#due) return;
    this.#due = true;
    this.#clock.schedule(0, () => {
      this.#due = false;
      this.#changes.next(this.#current());
    });
  }
}
