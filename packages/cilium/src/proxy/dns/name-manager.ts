import type { Clock, Timer } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import { DnsCache } from "./dns-cache.ts";
import { DnsZombies } from "./dns-zombies.ts";

export interface NameManagerSettings {
  /** Seconds that answers count at least (`tofqdns-min-ttl`). */
  readonly minTtl: number;
  /** `tofqdns-endpoint-max-ip-per-hostname` */
  readonly maxIpsPerHost: number;
}

/** Takes all names that an address has; none where the last one is forgotten. */
export type NameSink = (address: IpAddress, names: readonly string[]) => void;

/** Tells where an endpoint has connections to. */
export type ConnectionLister = (endpointId: number) => Iterable<IpAddress>;

/** `DNSGCJobInterval` (pkg/fqdn/namemanager/gc.go). */
const DNS_GC_INTERVAL_MS = 60_000;

interface EndpointNames {
  readonly history: DnsCache;
  readonly zombies: DnsZombies;
}

/**
 * Which names addresses have by the answers of DNS that a node's endpoints got (pkg/fqdn/namemanager): kept for each of them, and once
 * for the node, by which `toFQDNs` selects.
 */
export class NameManager {
  readonly #clock: Clock;
  readonly #settings: NameManagerSettings;
  #sink: NameSink | undefined;
  readonly #connections: ConnectionLister;
  /** For the node; it says itself what is to be collected. */
  readonly #cache: DnsCache;
  readonly #endpoints = new Map<number, EndpointNames>();
  /** Names that the sink was told last. */
  readonly #told = new Map<IpAddress, string>();
  #timer: Timer | undefined;

  constructor(clock: Clock, settings: NameManagerSettings, connections: ConnectionLister) {
    this.#clock = clock;
    this.#settings = settings;
    this.#connections = connections;
    this.#cache = new DnsCache(settings.minTtl);
  }

  /** Names under which an endpoint knows an address (GetNamesOf). */
  namesOf(endpointId: number, ip: IpAddress): readonly string[] {
    return this.#endpoints.get(endpointId)?.history.namesOf(ip) ?? [];
  }

  /** An endpoint was told addresses of a name: policies that select it have them before the call is over (UpdateGenerateDNS). */
  learn(endpointId: number, name: string, ips: readonly IpAddress[], ttl: number): void {
    const { now } = this.#clock;
    const { history, zombies } = this.#namesOf(endpointId);
    if (history.update(now, name, ips, ttl).upserted) zombies.revive(now, name, ips);
    const { upserted } = this.#cache.update(now, name, ips, ttl);
    if (upserted) for (const ip of ips) this.#tell(ip);
    this.#arm();
  }

  /** What it has asked counts until the next collection. */
  endpointRemoved(endpointId: number): void {
    this.#endpoints.delete(endpointId);
  }

  /** The agent has gone through all connections, and those that are left are in use. */
  connectionsCollected(): void {
    const { now } = this.#clock;
    for (const [endpointId, { zombies }] of this.#endpoints) {
      if (zombies.size > 0) {
        for (const ip of this.#connections(endpointId)) zombies.markAlive(now, ip);
      }
      zombies.connectionsCollected(now);
    }
  }

  #namesOf(endpointId: number): EndpointNames {
    let names = this.#endpoints.get(endpointId);
    if (names === undefined) {
      const { minTtl, maxIpsPerHost } = this.#settings;
      const history = new DnsCache(minTtl, maxIpsPerHost);
      names = { history, zombies: new DnsZombies(maxIpsPerHost) };
      this.#endpoints.set(endpointId, names);
    }
    return names;
  }

  /** Tells nobody, and collects nothing. What is known stays, as what the agent has saved does when it ends. */
  stop(): void {
    this.#sink = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Tells all that is known, and each change. */
  start(sink: NameSink): void {
    this.#sink = sink;
    this.#told.clear();
    const ips = [...this.#cache.names()].flatMap((name) => [...this.#cache.addressesOf(name)]);
    for (const ip of ips) this.#tell(ip);
    this.#arm();
  }

  /** In step with the clock's minutes, as long as something is known: nodes without answers have no timer. */
  #arm(): void {
    if (this.#timer !== undefined || this.#cache.size === 0) return;
    const { now } = this.#clock;
    const due = DNS_GC_INTERVAL_MS - (now % DNS_GC_INTERVAL_MS);
    this.#timer = this.#clock.schedule(due, () => this.#collect(), { background: true });
  }

  #collect(): void {
    this.#timer = undefined;
    const { now } = this.#clock;
    // Two rounds, so that an address in use is not let go between one and the next.
    const seconds = (2 * DNS_GC_INTERVAL_MS) / 1000;
    const active = new DnsCache(seconds);
    const toClean = new Set<string>();
    const known = new Set<string>();
    for (const { history, zombies } of this.#endpoints.values()) {
      for (const name of history.names()) known.add(name);
      for (const { ip, entry } of history.collect(now)) {
        toClean.add(entry.name);
        zombies.upsert(Math.max(now, entry.expirationTime), ip, entry.name);
      }
      const { alive, dead } = zombies.collect();
      for (const { ip, names } of alive) {
        for (const name of names) {
          toClean.add(name);
          active.update(now, name, [ip], seconds);
        }
      }
      for (const { names } of dead) for (const name of names) toClean.add(name);
    }
    // Of endpoints that are gone.
    for (const name of this.#cache.names()) if (!known.has(name)) toClean.add(name);
    if (toClean.size > 0) {
      const before = [...toClean].flatMap((name) => [...this.#cache.addressesOf(name)]);
      const histories = [...this.#endpoints.values()].map(({ history }) => history);
      this.#cache.replaceFrom(toClean, [active, ...histories]);
      for (const ip of new Set(before)) this.#tell(ip);
    }
    this.#arm();
  }

  /** Changes only. */
  #tell(ip: IpAddress): void {
    const names = this.#cache.namesOf(ip);
    const key = names.join(" ");
    if (this.#sink === undefined || key === (this.#told.get(ip) ?? "")) return;
    if (key === "") this.#told.delete(ip);
    else this.#told.set(ip, key);
    this.#sink(ip, names);
  }
}
