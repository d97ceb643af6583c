import type { Clock, Timer } from "@cnilab/core";
import { formatIp, type Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import type { Lease, LeaseAttributes } from "./lease.ts";
import type { LeaseEvents } from "./lease-table.ts";

/** An etcd lease lives this long unless it is renewed (pkg/subnet/etcd/local_manager.go subnetTTL). */
export const LEASE_TTL_MS: number = 24 * 3_600_000;

/** What a key's value says, as it stands in etcd. */
export interface LeaseValue {
  readonly PublicIP: string;
  readonly PublicIPv6: string | null;
  readonly BackendType?: string;
  readonly BackendData?: unknown;
  readonly BackendV6Data?: unknown;
}

interface StoredLease {
  readonly lease: Lease;
  readonly timer: Timer | undefined;
}

/** The part of etcd below `/coreos.com/network/subnets/`: leases by their subnets, each with its time to live. */
export class LeaseStore {
  readonly #clock: Clock;
  readonly #leases = new Map<string, StoredLease>();
  readonly #watchers = new Set<(events: LeaseEvents) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get leases(): Iterable<Lease> {
    return [...this.#leases.values()].map((stored) => stored.lease);
  }

  get(key: string): Lease | undefined {
    return this.#leases.get(key)?.lease;
  }

  /** @param ttlMs virtual milliseconds; absent: it stays, as a reservation */
  put(lease: Lease, ttlMs?: number): void {
    const key = storeKey(lease);
    this.#leases.get(key)?.timer?.cancel();
    const timer =
      ttlMs === undefined
        ? undefined
        : this.#clock.schedule(ttlMs, () => this.delete(key), { background: true });
    this.#leases.set(key, { lease, timer });
    this.#report({ added: [lease], removed: [] });
  }

  /** Sets a key's time to live anew. */
  renew(key: string, ttlMs: number): boolean {
    const stored = this.#leases.get(key);
    if (stored === undefined) return false;
    stored.timer?.cancel();
    const timer = this.#clock.schedule(ttlMs, () => this.delete(key), { background: true });
    this.#leases.set(key, { lease: stored.lease, timer });
    return true;
  }

  /** False when there was no such key. */
  delete(key: string): boolean {
    const stored = this.#leases.get(key);
    if (stored === undefined) return false;
    stored.timer?.cancel();
    this.#leases.delete(key);
    this.#report({ added: [], removed: [stored.lease] });
    return true;
  }

  /** @returns how to stop it */
  watch(watcher: (events: LeaseEvents) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #report(events: LeaseEvents): void {
    for (const watcher of [...this.#watchers]) watcher(events);
  }
}

/** The last part of a lease's key: `10.244.1.0-24` or `10.244.1.0-24&2001:db8:42:1::-64`. */
export function storeKey(lease: Lease): string {
  const text = (prefix: Prefix) => `${formatIp(prefix.address)}-${prefix.length}`;
  const subnet = lease.subnet === undefined ? "0.0.0.0-0" : text(lease.subnet);
  return lease.ipv6Subnet === undefined ? subnet : `${subnet}&${text(lease.ipv6Subnet)}`;
}

/** A lease out of its key (with or without folders) and value; `undefined` when it is none. */
export function parseStoredLease(key: string, value: LeaseValue): Lease | undefined {
  const name = key.slice(key.lastIndexOf("/") + 1);
  const prefixes = name.split("&").map((part) => tryParsePrefix(part.replace(/-(\d+)$/, "/$1")));
  const [subnet, ipv6Subnet] = prefixes;
  const publicIp = tryParseIp(value.PublicIP);
  const publicIpv6 = tryParseIp(value.PublicIPv6 ?? "");
  if (subnet?.family !== 4 || (prefixes.length > 1 && ipv6Subnet?.family !== 6)) return undefined;
  return {
    enableIPv4: subnet.length > 0,
    enableIPv6: ipv6Subnet !== undefined,
    subnet: subnet.length > 0 ? subnet : undefined,
    ipv6Subnet,
    attributes: {
      publicIp: typeof publicIp === "number" ? publicIp : undefined,
      publicIpv6: typeof publicIpv6 === "object" ? publicIpv6 : undefined,
      backendType: value.BackendType ?? "",
      backendData: JSON.stringify(value.BackendData ?? null),
      backendV6Data: JSON.stringify(value.BackendV6Data ?? null),
    },
  };
}

/** What etcd holds for a lease. */
export function leaseValue(attributes: LeaseAttributes): LeaseValue {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data } = attributes;
  return {
    PublicIP: formatIp(publicIp ?? 0),
    PublicIPv6: publicIpv6 === undefined ? null : formatIp(publicIpv6),
    ...(backendType === "" ? {} : { BackendType: backendType }),
    ...(backendData === "null" ? {} : { BackendData: JSON.parse(backendData) }),
    ...(backendV6Data === "null" ? {} : { BackendV6Data: JSON.parse(backendV6Data) }),
  };
}
