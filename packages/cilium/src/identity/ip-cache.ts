import type { Origin } from "@cnilab/core";
import type { IpAddress, Prefix } from "@cnilab/net";
import type { NumericIdentity } from "./numeric-identity.ts";

/** Who says what an address is, the strongest first (pkg/source/source.go). */
export const SOURCES = [
  "kube-apiserver",
  "local",
  "kvstore",
  "custom-resource",
  "k8s",
  "clustermesh",
  "directory",
  "api",
  "generated",
  "restored",
  "unspec",
] as const;

export type IpSource = (typeof SOURCES)[number];

/** Whether what one says may stand in place of what the other said. */
export function allowsOverwrite(existing: IpSource, by: IpSource): boolean {
  return SOURCES.indexOf(by) <= SOURCES.indexOf(existing);
}

/** What a node knows of a range of addresses (pkg/ipcache/ipcache.go, `bpf/lib/eps.h`). */
export interface IpCacheEntry {
  readonly identity: NumericIdentity;
  readonly source: IpSource;
  /** The node behind which a pod is. */
  readonly tunnelEndpoint?: IpAddress;
  /** 0 where nothing is encrypted. */
  readonly encryptKey: number;
  /** Sent as it is though other packets are encapsulated. */
  readonly skipTunnel: boolean;
  /** The object that says so. */
  readonly origin?: Origin;
  /** A node's pods as long as nothing more is known of them: the node itself has no such entry. */
  readonly isPodCidr?: boolean;
}

/** Told of each change; no entry where the range is gone. */
export type IpCacheListener = (
  prefix: Prefix,
  entry: IpCacheEntry | undefined,
  old: IpCacheEntry | undefined,
) => void;

interface Held {
  readonly prefix: Prefix;
  readonly entry: IpCacheEntry;
}

/** Identities of addresses; the map of the datapath follows it. */
export class IpCache {
  readonly #entries = new Map<string, Held>();
  readonly #listeners = new Set<IpCacheListener>();

  get size(): number {
    return this.#entries.size;
  }

  *entries(): Iterable<readonly [prefix: Prefix, entry: IpCacheEntry]> {
    for (const { prefix, entry } of this.#entries.values()) yield [prefix, entry];
  }

  /** Of exactly this range; the datapath looks for the longest that has an address. */
  get(prefix: Prefix): IpCacheEntry | undefined {
    return this.#entries.get(String(prefix))?.entry;
  }

  /** Hears of all that is there, and of each change from then on. @returns what ends that */
  listen(listener: IpCacheListener): () => void {
    for (const { prefix, entry } of this.#entries.values()) listener(prefix, entry, undefined);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @returns whether it was taken: what a stronger source said stays, unless `force` */
  upsert(prefix: Prefix, entry: IpCacheEntry, force = false): boolean {
    const key = String(prefix);
    const old = this.#entries.get(key)?.entry;
    if (old !== undefined) {
      if (!force && !allowsOverwrite(old.source, entry.source)) return false;
      if (sameEntry(old, entry)) return true;
    }
    this.#entries.set(key, { prefix, entry });
    for (const listener of this.#listeners) listener(prefix, entry, old);
    return true;
  }

  /** @returns whether it is gone: what a stronger source said stays */
  delete(prefix: Prefix, source: IpSource): boolean {
    const key = String(prefix);
    const old = this.#entries.get(key)?.entry;
    if (old === undefined) return true;
    if (!allowsOverwrite(old.source, source)) return false;
    this.#entries.delete(key);
    for (const listener of this.#listeners) listener(prefix, undefined, old);
    return true;
  }
}

function sameEntry(x: IpCacheEntry, y: IpCacheEntry): boolean {
  return (
    x.identity === y.identity &&
    x.source === y.source &&
    x.tunnelEndpoint === y.tunnelEndpoint &&
    x.encryptKey === y.encryptKey &&
    x.skipTunnel === y.skipTunnel &&
    x.isPodCidr === y.isPodCidr &&
    x.origin?.kind === y.origin?.kind &&
    x.origin?.namespace === y.origin?.namespace &&
    x.origin?.name === y.origin?.name
  );
}
