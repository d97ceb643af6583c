import { type Lease, subnetKey } from "./lease.ts";

/** What a watcher is told at one moment. */
export interface LeaseEvents {
  /** New ones and changed ones: flanneld does not tell them apart. */
  readonly added: readonly Lease[];
  readonly removed: readonly Lease[];
}

/** One thing that happened to a subnet: its lease was added or changed, or removed. */
export interface LeaseStep {
  readonly what: "added" | "removed";
  readonly lease: Lease;
}

/**
 * All leases as a flanneld that watches them has them in mind, its node's own included. Immutable and
 * shared: the kernel state of every node is derived from one table, once.
 */
export class LeaseTable {
  /** By `subnetKey`. */
  readonly leases: ReadonlyMap<string, Lease>;
  /**
   * What happened to subnets before, the newest step with it, where an older one may have left something
   * behind that nobody takes away, such as the tunnel endpoint of an old MAC.
   */
  readonly history: ReadonlyMap<string, readonly LeaseStep[]>;
  readonly #derived = new Map<string, unknown>();
  readonly #next = new WeakMap<LeaseEvents, LeaseTable>();

  constructor(
    leases: ReadonlyMap<string, Lease>,
    history: ReadonlyMap<string, readonly LeaseStep[]> = new Map(),
  ) {
    this.leases = leases;
    this.history = history;
  }

  static readonly empty: LeaseTable = new LeaseTable(new Map());

  /** What happened to each subnet, as far as it matters, oldest first. */
  *steps(): Iterable<readonly LeaseStep[]> {
    for (const [key, lease] of this.leases) {
      if (!this.history.has(key)) yield [{ what: "added", lease }];
    }
    yield* this.history.values();
  }

  /** The table after some events: the same object for the same events. */
  after(events: LeaseEvents): LeaseTable {
    let table = this.#next.get(events);
    if (table === undefined) {
      table = this.#apply(events);
      this.#next.set(events, table);
    }
    return table;
  }

  #apply({ added, removed }: LeaseEvents): LeaseTable {
    const leases = new Map(this.leases);
    const history = new Map(this.history);
    for (const lease of removed) {
      const key = subnetKey(lease);
      leases.delete(key);
      const past = history.get(key);
      if (past !== undefined) history.set(key, [...past, { what: "removed", lease }]);
    }
    for (const lease of added) {
      const key = subnetKey(lease);
      const old = leases.get(key);
      leases.set(key, lease);
      const past = history.get(key);
      if (past !== undefined) history.set(key, [...past, { what: "added", lease }]);
      else if (old !== undefined && leavesBehind(old, lease)) {
        history.set(key, [
          { what: "added", lease: old },
          { what: "added", lease },
        ]);
      }
    }
    return new LeaseTable(leases, history);
  }

  /** What `make` makes of the table, made once for all nodes that ask for the same `key`. */
  derive<T>(key: string, make: () => T): T {
    if (!this.#derived.has(key)) this.#derived.set(key, make());
    return this.#derived.get(key) as T;
  }

  /** Whether both hold the same leases, and nothing is left of what was before. */
  equals(other: LeaseTable): boolean {
    if (this === other) return true;
    if (this.leases.size !== other.leases.size) return false;
    if (this.history.size > 0 || other.history.size > 0) return false;
    for (const [key, lease] of this.leases) if (other.leases.get(key) !== lease) return false;
    return true;
  }
}

/** Whether a backend may leave some of the old lease when it programs the new one over it. */
function leavesBehind(old: Lease, now: Lease): boolean {
  const a = old.attributes;
  const b = now.attributes;
  return (
    a.backendType !== b.backendType ||
    a.backendData !== b.backendData ||
    a.backendV6Data !== b.backendV6Data ||
    a.publicIp !== b.publicIp ||
    a.publicIpv6 !== b.publicIpv6
  );
}
