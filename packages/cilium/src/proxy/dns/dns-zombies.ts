import type { IpAddress } from "@cnilab/net";

/** An address whose names DNS no longer tells, and that connections may still use. */
export interface DnsZombie {
  readonly ip: IpAddress;
  readonly names: Set<string>;
  /** When a connection was last seen. */
  aliveAt: number;
  readonly deletePendingAt: number;
  readonly addedAtRevision: number;
}

/** `tofqdns-max-deferred-connection-deletes` */
const MAX_ZOMBIES = 10_000;
/** Collections of connections that an address must outlive at least. */
const REVISIONS = 2;

/**
 * Addresses of one endpoint that have expired and live on until no connection uses them (pkg/fqdn/cache.go DNSZombieMappings). Whether
 * one does is known whenever the agent has gone through the connections.
 */
export class DnsZombies {
  readonly #perHostLimit: number;
  readonly #zombies = new Map<IpAddress, DnsZombie>();
  #lastConnectionGc = Number.NEGATIVE_INFINITY;
  #revision = 0;

  constructor(perHostLimit: number) {
    this.#perHostLimit = perHostLimit;
  }

  get size(): number {
    return this.#zombies.size;
  }

  upsert(expiryTime: number, ip: IpAddress, name: string): void {
    const old = this.#zombies.get(ip);
    this.#zombies.set(ip, {
      ip,
      names: (old?.names ?? new Set()).add(name),
      aliveAt: Math.max(old?.aliveAt ?? this.#lastConnectionGc, this.#lastConnectionGc),
      deletePendingAt: Math.max(old?.deletePendingAt ?? expiryTime, expiryTime),
      addedAtRevision: old?.addedAtRevision ?? this.#revision,
    });
  }

  /** A connection to the address was there. */
  markAlive(now: number, ip: IpAddress): void {
    const zombie = this.#zombies.get(ip);
    if (zombie !== undefined) zombie.aliveAt = now;
  }

  /** All connections were looked at. */
  connectionsCollected(start: number): void {
    this.#lastConnectionGc = start;
    this.#revision++;
  }

  /** The name has these addresses again. */
  revive(now: number, name: string, ips: readonly IpAddress[]): void {
    for (const ip of ips) {
      const zombie = this.#zombies.get(ip);
      if (zombie === undefined || zombie.deletePendingAt > now) continue;
      zombie.names.delete(name);
      if (zombie.names.size === 0) this.#zombies.delete(ip);
    }
  }

  /** Lets go of those that nobody uses, and of too many. @returns those that live, and those that were let go */
  collect(): { readonly alive: readonly DnsZombie[]; readonly dead: readonly DnsZombie[] } {
    const ofName = this.#namesInUse();
    const alive = new Set<DnsZombie>();
    const dead = new Set<DnsZombie>();
    for (const zombie of this.#zombies.values()) {
      // One address in use keeps the others of its names: clients go from one to the other.
      const isAlive = this.#isUsed(zombie) || [...zombie.names].some((name) => ofName.has(name));
      (isAlive ? alive : dead).add(zombie);
    }
    if (this.#perHostLimit > 0) {
      for (const zombies of ofName.values()) {
        const tooMany = zombies.length - this.#perHostLimit;
        for (const zombie of tooMany > 0 ? zombies.sort(byUse).slice(0, tooMany) : []) {
          alive.delete(zombie);
          dead.add(zombie);
        }
      }
    }
    const tooMany = alive.size - MAX_ZOMBIES;
    for (const zombie of tooMany > 0 ? [...alive].sort(byUse).slice(0, tooMany) : []) {
      alive.delete(zombie);
      dead.add(zombie);
    }
    for (const { ip } of dead) this.#zombies.delete(ip);
    return { alive: [...alive], dead: [...dead] };
  }

  #namesInUse(): Map<string, DnsZombie[]> {
    const ofName = new Map<string, DnsZombie[]>();
    const all = [...this.#zombies.values()];
    for (const zombie of all.filter((each) => this.#isUsed(each))) {
      for (const name of zombie.names) {
        const there = ofName.get(name);
        if (there === undefined) ofName.set(name, [zombie]);
        else there.push(zombie);
      }
    }
    for (const zombie of all.filter((each) => !this.#isUsed(each))) {
      for (const name of zombie.names) ofName.get(name)?.push(zombie);
    }
    return ofName;
  }

  #isUsed({ deletePendingAt, aliveAt, addedAtRevision }: DnsZombie): boolean {
    return (
      this.#lastConnectionGc <= deletePendingAt ||
      this.#lastConnectionGc <= aliveAt ||
      this.#revision < addedAtRevision + REVISIONS
    );
  }
}

function byUse(x: DnsZombie, y: DnsZombie): number {
  return (
    x.aliveAt - y.aliveAt || x.deletePendingAt - y.deletePendingAt || x.names.size - y.names.size
  );
}
