import type { IpAddress } from "@cnilab/net";

/** One answer of DNS. Times are virtual milliseconds. */
export interface DnsCacheEntry {
  /** In lower case, with the dot at its end. */
  readonly name: string;
  readonly lookupTime: number;
  readonly expirationTime: number;
  /** Seconds. */
  readonly ttl: number;
  readonly ips: readonly IpAddress[];
}

/** What an answer changed: an address that the name did not have, or one that it has for longer now. */
export interface DnsCacheUpdate {
  readonly upserted: boolean;
  readonly updated: boolean;
}

/** An address that a name no longer has. */
export interface ExpiredAddress {
  readonly ip: IpAddress;
  readonly entry: DnsCacheEntry;
}

/** Which addresses DNS has told for which names (pkg/fqdn/cache.go DNSCache). What has expired counts until it is collected. */
export class DnsCache {
  readonly #minTtl: number;
  /** Addresses that a name may have; 0 is any number. */
  readonly #perHostLimit: number;
  readonly #forward = new Map<string, Map<IpAddress, DnsCacheEntry>>();
  readonly #reverse = new Map<IpAddress, Map<string, DnsCacheEntry>>();

  /** @param minTtl seconds that an answer counts at least */
  constructor(minTtl: number, perHostLimit = 0) {
    this.#minTtl = minTtl;
    this.#perHostLimit = perHostLimit;
  }

  get size(): number {
    return this.#forward.size;
  }

  update(now: number, name: string, ips: readonly IpAddress[], ttl: number): DnsCacheUpdate {
    const seconds = Math.max(ttl, this.#minTtl);
    const expirationTime = now + seconds * 1000;
    return this.#put({ name, lookupTime: now, expirationTime, ttl: seconds, ips }, ips);
  }

  #put(entry: DnsCacheEntry, ips: readonly IpAddress[]): DnsCacheUpdate {
    let entries = this.#forward.get(entry.name);
    if (entries === undefined) {
      entries = new Map();
      this.#forward.set(entry.name, entries);
    }
    let [upserted, updated] = [false, false];
    for (const ip of ips) {
      const old = entries.get(ip);
      // What lasts longer stays.
      if (old !== undefined && entry.expirationTime <= old.expirationTime) continue;
      entries.set(ip, entry);
      let names = this.#reverse.get(ip);
      if (names === undefined) {
        names = new Map();
        this.#reverse.set(ip, names);
      }
      names.set(entry.name, entry);
      updated = true;
      upserted ||= old === undefined;
    }
    return { upserted, updated };
  }

  /** Lets go of what has expired, and of the oldest of names that have too many addresses. @returns all of it */
  collect(now: number): readonly ExpiredAddress[] {
    const gone: ExpiredAddress[] = [];
    for (const entries of this.#forward.values()) {
      for (const [ip, entry] of entries) if (entry.expirationTime < now) gone.push({ ip, entry });
    }
    for (const { ip, entry } of gone) this.#remove(entry.name, ip);
    if (this.#perHostLimit === 0) return gone;
    for (const [name, entries] of this.#forward) {
      const tooMany = entries.size - this.#perHostLimit;
      if (tooMany <= 0) continue;
      const oldest = [...entries].sort(([, x], [, y]) => x.expirationTime - y.expirationTime);
      for (const [ip, entry] of oldest.slice(0, tooMany)) {
        gone.push({ ip, entry });
        this.#remove(name, ip);
      }
    }
    return gone;
  }

  #remove(name: string, ip: IpAddress): void {
    const entries = this.#forward.get(name);
    entries?.delete(ip);
    if (entries?.size === 0) this.#forward.delete(name);
    const names = this.#reverse.get(ip);
    names?.delete(name);
    if (names?.size === 0) this.#reverse.delete(ip);
  }

  /** Makes these names anew out of what other caches have, as far as this one had it (ReplaceFromCacheByNames). */
  replaceFrom(names: Iterable<string>, caches: readonly DnsCache[]): void {
    for (const name of names) {
      const before = [...(this.#forward.get(name)?.keys() ?? [])];
      for (const ip of before) this.#remove(name, ip);
      for (const cache of caches) {
        for (const [ip, entry] of cache.#forward.get(name) ?? []) {
          if (before.includes(ip)) this.#put(entry, [ip]);
        }
      }
    }
  }

  names(): Iterable<string> {
    return this.#forward.keys();
  }

  addressesOf(name: string): Iterable<IpAddress> {
    return this.#forward.get(name)?.keys() ?? [];
  }

  /** Sorted. */
  namesOf(ip: IpAddress): readonly string[] {
    return [...(this.#reverse.get(ip)?.keys() ?? [])].sort();
  }
}
