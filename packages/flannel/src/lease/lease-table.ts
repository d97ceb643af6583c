import type { IpAddress, IpFamily, Mac } from "@cnilab/net";
import { type Lease, sideOf, subnetKey } from "./lease.ts";
import { vtepMacOf } from "./vtep.ts";

/** What a watcher is told at one moment. */
export interface LeaseEvents {
  /** New ones and changed ones: flanneld does not tell them apart. */
  readonly added: readonly Lease[];
  readonly removed: readonly Lease[];
}

/** An FDB entry that nobody will delete: its node has another MAC now. */
export interface StaleVtep {
  readonly family: IpFamily;
  readonly mac: Mac;
  readonly remote: IpAddress;
}

/**
 * All leases as a flanneld that watches them has them in mind, its node's own included. Immutable and
 * shared: the kernel state of every node is derived from one table, once.
 */
export class LeaseTable {
  /** By {@link subnetKey}. */
  readonly leases: ReadonlyMap<string, Lease>;
  readonly stale: readonly StaleVtep[];
  readonly #derived = new Map<string, unknown>();
  readonly #next = new WeakMap<LeaseEvents, LeaseTable>();

  constructor(leases: ReadonlyMap<string, Lease>, stale: readonly StaleVtep[] = []) {
    this.leases = leases;
    this.stale = stale;
  }

  static readonly empty: LeaseTable = new LeaseTable(new Map());

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
    let stale = this.stale;
    for (const lease of removed) leases.delete(subnetKey(lease));
    for (const lease of added) {
      const key = subnetKey(lease);
      const old = leases.get(key);
      if (old !== undefined) stale = [...stale, ...leftBehind(old, lease)];
      leases.set(key, lease);
    }
    return new LeaseTable(leases, stale);
  }

  /** What `make` makes of the table, made once for all nodes that ask for the same `key`. */
  derive<T>(key: string, make: () => T): T {
    if (!this.#derived.has(key)) this.#derived.set(key, make());
    return this.#derived.get(key) as T;
  }

  /** Whether both hold the same leases and the same leftovers. */
  equals(other: LeaseTable): boolean {
    if (this === other) return true;
    if (this.leases.size !== other.leases.size || this.stale.length !== other.stale.length)
      return false;
    for (const [key, lease] of this.leases) if (other.leases.get(key) !== lease) return false;
    return this.stale.every((s, i) => s === other.stale[i]);
  }
}

function leftBehind(old: Lease, now: Lease): StaleVtep[] {
  const stale: StaleVtep[] = [];
  for (const family of [4, 6] as const) {
    const side = sideOf(old, family);
    const mac = vtepMacOf(old, family);
    if (side === undefined || mac === undefined || mac === vtepMacOf(now, family)) continue;
    stale.push({ family, mac, remote: side.publicIp });
  }
  return stale;
}
