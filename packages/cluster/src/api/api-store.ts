import {
  type ApiClient,
  type Clock,
  type DeleteOptions,
  type Kind,
  type Kinds,
  type KubeObject,
  kindOf,
  objectKey,
  type Pod,
  type Random,
  type Snapshot,
  timestamp,
  uuid,
  type WatchEvent,
} from "@cnilab/core";
import { Observable, type Observer } from "rxjs";
import type { Admission } from "./admission.ts";
import { ApiError } from "./api-error.ts";
import { CustomResources } from "./custom-resources.ts";
import { inScope } from "./kind-scope.ts";
import { Listeners } from "./listeners.ts";

/** One change, with its place among all changes, and the table it is of. */
interface Change {
  readonly table: KindTable;
  readonly sequence: number;
  readonly event: WatchEvent;
}

/** All objects of one kind. */
class KindTable {
  readonly kind: string;
  readonly objects = new Map<string, KubeObject>();
  readonly changes = new Listeners<Change>();
  readonly snapshots = new Listeners<Snapshot>();
  version = 0;
  /** Of {@link version}, if anybody asked for it. */
  snapshot: Snapshot | undefined;
  snapshotDue = false;

  constructor(kind: string) {
    this.kind = kind;
  }
}

/** The pods bound to one node. */
class NodePods {
  readonly pods = new Map<string, Pod>();
  readonly changes = new Listeners<Change>();
}

/**
 * The API server's objects, in memory. Watchers hear of changes in the order in which these happened,
 * also where one watcher's reaction is another change.
 */
export class ApiStore implements ApiClient {
  /** Kinds beside the built-in ones. */
  readonly resources: CustomResources;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #tables = new Map<string, KindTable>();
  readonly #podsByNode = new Map<string, NodePods>();
  readonly #admissions = new Map<string, Admission[]>();
  #sequence = 0;
  /** Changes that are not delivered yet. */
  #queue: Change[] = [];
  #delivering = false;

  constructor(clock: Clock, random: Random, resources: CustomResources = CustomResources.NONE) {
    this.resources = resources;
    this.#clock = clock;
    this.#random = random;
  }

  /** Lets `admission` see every object of its kind before it is stored. */
  admit<K extends Kind>(admission: Admission<K>): void {
    const there = this.#admissions.get(admission.kind);
    if (there === undefined) this.#admissions.set(admission.kind, [admission as Admission]);
    else there.push(admission as Admission);
  }

  get<K extends Kind>(kind: K, key: string): Kinds[K] | undefined {
    return this.#tables.get(kind)?.objects.get(key) as Kinds[K] | undefined;
  }

  list<K extends Kind>(kind: K, namespace?: string): readonly Kinds[K][] {
    const all = [...(this.#tables.get(kind)?.objects.values() ?? [])] as Kinds[K][];
    return namespace === undefined ? all : all.filter((o) => o.metadata.namespace === namespace);
  }

  /** Kinds that have objects. */
  get kinds(): Kind[] {
    return [...this.#tables.values()].filter((t) => t.objects.size > 0).map((t) => t.kind as Kind);
  }

  /** Number of objects of a kind. */
  count(kind: Kind): number {
    return this.#tables.get(kind)?.objects.size ?? 0;
  }

  /** Grows with every change of a kind. */
  version(kind: Kind): number {
    return this.#tables.get(kind)?.version ?? 0;
  }

  /** The pods bound to a node, without a search through all. */
  podsOfNode(nodeName: string): Iterable<Pod> {
    return this.#podsByNode.get(nodeName)?.pods.values() ?? [];
  }

  watch<K extends Kind>(kind: K): Observable<WatchEvent<Kinds[K]>> {
    const table = this.#table(kind);
    return this.#observe(() => table.objects.values(), table.changes) as Observable<
      WatchEvent<Kinds[K]>
    >;
  }

  watchPodsOfNode(nodeName: string): Observable<WatchEvent<Pod>> {
    const node = this.#nodePods(nodeName);
    return this.#observe(() => node.pods.values(), node.changes) as Observable<WatchEvent<Pod>>;
  }

  snapshots<K extends Kind>(kind: K): Observable<Snapshot<Kinds[K]>> {
    const table = this.#table(kind);
    return new Observable<Snapshot>((observer) => {
      let last = snapshotOf(table);
      observer.next(last);
      return table.snapshots.add((snapshot) => {
        if (snapshot.version === last.version) return;
        last = snapshot;
        observer.next(snapshot);
      });
    }) as unknown as Observable<Snapshot<Kinds[K]>>;
  }

  /** @throws ApiError AlreadyExists, and what admission refuses */
  create<K extends Kind>(object: Kinds[K]): Kinds[K] {
    const kind = kindOf(object);
    const table = this.#table(kind);
    let created: KubeObject = this.resources.defaulted(inScope(object, this.resources));
    const key = storedKey(created);
    if (table.objects.has(key)) {
      throw new ApiError("AlreadyExists", `${kind} ${key} already exists`);
    }
    for (const admission of this.#admissions.get(kind) ?? []) {
      created = admission.create?.(created as never) ?? created;
    }
    const { metadata } = created;
    created = {
      ...created,
      metadata: {
        ...metadata,
        uid: metadata.uid ?? uuid(this.#random),
        creationTimestamp: metadata.creationTimestamp ?? timestamp(this.#clock.now),
        generation: 1,
        resourceVersion: this.#nextVersion(),
      },
    };
    this.#store(table, key, created, { type: "ADDED", object: created });
    return created as Kinds[K];
  }

  update<K extends Kind>(
    kind: K,
    key: string,
    change: (object: Kinds[K]) => Kinds[K],
  ): Kinds[K] | undefined {
    const table = this.#table(kind);
    const old = table.objects.get(key);
    if (old === undefined) return undefined;
    let changed: KubeObject = change(old as Kinds[K]);
    if (changed === old) return old as Kinds[K];
    for (const admission of this.#admissions.get(kind) ?? []) {
      changed = admission.update?.(changed as never, old as never) ?? changed;
    }
    if (changed === old) return old as Kinds[K];
    const generation = old.metadata.generation ?? 1;
    changed = {
      ...changed,
      metadata: {
        ...changed.metadata,
        generation: specOf(changed) === specOf(old) ? generation : generation + 1,
        resourceVersion: this.#nextVersion(),
      },
    };
    this.#store(table, key, changed, { type: "MODIFIED", object: changed, old });
    return changed as Kinds[K];
  }

  delete<K extends Kind>(kind: K, key: string, options?: DeleteOptions): void {
    const table = this.#table(kind);
    const object = table.objects.get(key);
    if (object === undefined) return;
    if (options?.gracePeriodSeconds !== 0 && goesGracefully(kind, object)) {
      if (object.metadata.deletionTimestamp === undefined) this.#markDeleted(kind, key);
      return;
    }
    this.#remove(table, key, object);
  }

  #markDeleted(kind: Kind, key: string): void {
    const deletionTimestamp = timestamp(this.#clock.now);
    if (kind === "Namespace") {
      this.update("Namespace", key, (object) => ({
        ...object,
        metadata: { ...object.metadata, deletionTimestamp },
        status: { phase: "Terminating" },
      }));
      return;
    }
    this.update("Pod", key, (pod) => ({
      ...pod,
      metadata: { ...pod.metadata, deletionTimestamp },
    }));
  }

  #store(table: KindTable, key: string, object: KubeObject, event: WatchEvent): void {
    table.objects.set(key, object);
    if (table.kind === "Pod") this.#indexPod(key, object as Pod);
    this.#publish(table, event);
  }

  #remove(table: KindTable, key: string, old: KubeObject): void {
    table.objects.delete(key);
    const object = {
      ...old,
      metadata: { ...old.metadata, resourceVersion: this.#nextVersion() },
    };
    const nodeName = nodeNameOf(table.kind, old);
    if (nodeName !== undefined) this.#podsByNode.get(nodeName)?.pods.delete(key);
    for (const admission of this.#admissions.get(table.kind) ?? [])
      admission.removed?.(old as never);
    this.#publish(table, { type: "DELETED", object, old });
  }

  #indexPod(key: string, pod: Pod): void {
    if (pod.spec.nodeName !== undefined) this.#nodePods(pod.spec.nodeName).pods.set(key, pod);
  }

  #publish(table: KindTable, event: WatchEvent): void {
    table.version++;
    table.snapshot = undefined;
    this.#scheduleSnapshot(table);
    this.#queue.push({ table, sequence: this.#sequence, event });
    if (!this.#delivering) this.#holdWhile(() => {});
  }

  /** Delivers nothing until `first` is done, then all that came up meanwhile. */
  #holdWhile(first: () => void): void {
    if (this.#delivering) {
      first();
      return;
    }
    this.#delivering = true;
    try {
      first();
      for (let at = 0; at < this.#queue.length; at++) {
        const change = this.#queue[at] as Change;
        change.table.changes.tell(change);
        this.#dispatchToNode(change);
        // What is delivered is let go now and then: bringing up a cluster is one long delivery.
        if (at === 1023) {
          this.#queue.splice(0, 1024);
          at = -1;
        }
      }
    } finally {
      this.#queue = [];
      this.#delivering = false;
    }
  }

  #dispatchToNode(change: Change): void {
    const { object, old, type } = change.event;
    const { kind } = change.table;
    const nodeName = nodeNameOf(kind, object);
    if (nodeName === undefined) return;
    const node = this.#podsByNode.get(nodeName);
    if (node === undefined || node.changes.size === 0) return;
    const isNew = type === "MODIFIED" && old !== undefined && nodeNameOf(kind, old) === undefined;
    node.changes.tell(isNew ? { ...change, event: { type: "ADDED", object } } : change);
  }

  #scheduleSnapshot(table: KindTable): void {
    if (table.snapshotDue || table.snapshots.size === 0) return;
    table.snapshotDue = true;
    this.#clock.schedule(0, () => {
      table.snapshotDue = false;
      table.snapshots.tell(snapshotOf(table));
    });
  }

  /** What there is now as ADDED, then the changes that come after this moment. */
  #observe(
    present: () => Iterable<KubeObject>,
    changes: Listeners<Change>,
  ): Observable<WatchEvent> {
    return new Observable((observer: Observer<WatchEvent>) => {
      const since = this.#sequence;
      const end = changes.add(({ sequence, event }) => {
        if (sequence > since) observer.next(event);
      });
      this.#holdWhile(() => {
        for (const object of [...present()]) observer.next({ type: "ADDED", object });
      });
      return end;
    });
  }

  #nextVersion(): string {
    return String(++this.#sequence);
  }

  #table(kind: string): KindTable {
    let table = this.#tables.get(kind);
    if (table === undefined) {
      table = new KindTable(kind);
      this.#tables.set(kind, table);
    }
    return table;
  }

  #nodePods(nodeName: string): NodePods {
    let node = this.#podsByNode.get(nodeName);
    if (node === undefined) {
      node = new NodePods();
      this.#podsByNode.set(nodeName, node);
    }
    return node;
  }
}

function snapshotOf(table: KindTable): Snapshot {
  table.snapshot ??= { version: table.version, objects: new Map(table.objects) };
  return table.snapshot;
}

/** {@link objectKey} in one piece: tables keep it as long as the object is there. */
function storedKey(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : [namespace, name].join("/");
}

function specOf(object: KubeObject): unknown {
  return (object as { readonly spec?: unknown }).spec;
}

function nodeNameOf(kind: string, object: KubeObject): string | undefined {
  return kind === "Pod" ? (object as Pod).spec.nodeName : undefined;
}

/** A pod that its node must stop first, and a namespace that must be emptied first. */
function goesGracefully(kind: string, object: KubeObject): boolean {
  if (kind === "Namespace") return true;
  if (kind !== "Pod") return false;
  const { spec, status } = object as Pod;
  return spec.nodeName !== undefined && status?.phase !== "Succeeded" && status?.phase !== "Failed";
}
