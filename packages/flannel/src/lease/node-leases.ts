import type { Node, Snapshot } from "@cnilab/core";
import {
  type AnnotationNames,
  type Families,
  isManaged,
  isNews,
  nodeToLease,
} from "./annotations.ts";
import { type Lease, sameLease, subnetKey } from "./lease.ts";
import { type LeaseEvents, LeaseTable } from "./lease-table.ts";

/**
 * The leases in a cluster's Node objects, worked out once for all nodes: the API hands the same
 * snapshot to everybody, and what follows from one is kept with it.
 */
export class NodeLeases {
  readonly names: AnnotationNames;
  readonly families: Families;
  /** The lease of each node that was read last, by node name: what is equal stays one object. */
  readonly #leases = new Map<string, Lease>();
  readonly #ofNode = new WeakMap<Node, { readonly lease: Lease | undefined }>();
  readonly #views = new WeakMap<Snapshot<Node>, NodeView>();
  #lastFresh: LeaseTable = LeaseTable.empty;

  constructor(names: AnnotationNames, families: Families) {
    this.names = names;
    this.families = families;
  }

  /** What a flanneld that starts now sees. */
  fresh(snapshot: Snapshot<Node>): NodeView {
    let view = this.#views.get(snapshot);
    if (view === undefined) {
      const leases = new Map<string, Lease>();
      for (const node of snapshot.objects.values()) {
        const lease = isManaged(node, this.names) ? this.leaseOf(node) : undefined;
        if (lease !== undefined) leases.set(subnetKey(lease), lease);
      }
      const table = new LeaseTable(leases);
      if (!table.equals(this.#lastFresh)) this.#lastFresh = table;
      view = new NodeView(this, snapshot, this.#lastFresh);
      this.#views.set(snapshot, view);
    }
    return view;
  }

  /** A node's lease, whether or not it is managed. */
  leaseOf(node: Node): Lease | undefined {
    let entry = this.#ofNode.get(node);
    if (entry === undefined) {
      const { name } = node.metadata;
      const known = this.#leases.get(name);
      const read = nodeToLease(node, this.names, this.families);
      const lease =
        read !== undefined && known !== undefined && sameLease(read, known) ? known : read;
      if (lease !== undefined) this.#leases.set(name, lease);
      entry = { lease };
      this.#ofNode.set(node, entry);
    }
    return entry.lease;
  }
}

/** Where a watcher has got to, and what came of the way there. */
export interface NextView {
  readonly view: NodeView;
  /** `undefined` where nothing is news to a watcher. */
  readonly events: LeaseEvents | undefined;
}

/** What a running flanneld has seen: the nodes, and what it made of each change (pkg/subnet/kube/kube.go). */
export class NodeView {
  readonly #leases: NodeLeases;
  readonly #snapshot: Snapshot<Node>;
  readonly table: LeaseTable;
  readonly #next = new WeakMap<Snapshot<Node>, NextView>();

  constructor(leases: NodeLeases, snapshot: Snapshot<Node>, table: LeaseTable) {
    this.#leases = leases;
    this.#snapshot = snapshot;
    this.table = table;
  }

  /** Goes on to a later snapshot; all that come from here get the same objects. */
  next(snapshot: Snapshot<Node>): NextView {
    let next = this.#next.get(snapshot);
    if (next === undefined) {
      next = this.#advance(snapshot);
      this.#next.set(snapshot, next);
    }
    return next;
  }

  #advance(snapshot: Snapshot<Node>): NextView {
    const events = this.#events(snapshot);
    const quiet = events.added.length === 0 && events.removed.length === 0;
    let table = quiet ? this.table : this.table.after(events);
    // Watchers of different ages see the same again wherever nothing is left of their pasts.
    const fresh = this.#leases.fresh(snapshot);
    if (table.equals(fresh.table)) table = fresh.table;
    const view = table === fresh.table ? fresh : new NodeView(this.#leases, snapshot, table);
    return { view, events: quiet ? undefined : events };
  }

  #events(snapshot: Snapshot<Node>): LeaseEvents {
    const added: Lease[] = [];
    const removed: Lease[] = [];
    const before = this.#snapshot.objects;
    for (const [key, old] of before) {
      const now = snapshot.objects.get(key);
      if (now === old || (now !== undefined && now.metadata.uid === old.metadata.uid)) continue;
      this.#push(removed, old);
    }
    const stored = removed.map((lease) => this.table.leases.get(subnetKey(lease)) ?? lease);
    for (const [key, node] of snapshot.objects) {
      const old = before.get(key);
      if (old === node) continue;
      if (old !== undefined && old.metadata.uid === node.metadata.uid && !this.#news(old, node)) {
        continue;
      }
      this.#push(added, node);
    }
    return { added, removed: stored };
  }

  #news(old: Node, node: Node): boolean {
    const { names, families } = this.#leases;
    return isNews(old.metadata.annotations ?? {}, node.metadata.annotations ?? {}, names, families);
  }

  #push(leases: Lease[], node: Node): void {
    if (!isManaged(node, this.#leases.names)) return;
    const lease = this.#leases.leaseOf(node);
    if (lease !== undefined) leases.push(lease);
  }
}
