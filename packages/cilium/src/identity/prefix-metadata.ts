import type { Origin } from "@cnilab/core";
import type { IpAddress, Prefix } from "@cnilab/net";
import { type LabelSet, labelSet } from "../labels/label-set.ts";
import { isReserved, isWorldLabel, reservedLabel } from "../labels/reserved-labels.ts";
import { scopeOfLabels } from "./identity-scope.ts";
import { allowsOverwrite, type IpCache, type IpCacheEntry, type IpSource } from "./ip-cache.ts";
import { LocalIdentities } from "./local-identities.ts";
import { IDENTITY_SCOPE, type NumericIdentity, RESERVED_IDENTITY } from "./numeric-identity.ts";
import { inheritLabels, type PrefixLabelSettings, resolveLabels } from "./prefix-labels.ts";
import { reservedIdentityOf } from "./reserved-identities.ts";

/** What one object says of a range: a policy, a name of DNS, a node. */
export interface PrefixInfo {
  readonly source: IpSource;
  readonly labels: LabelSet;
  readonly tunnelEndpoint?: IpAddress;
  readonly encryptKey?: number;
  readonly skipTunnel?: boolean;
  readonly origin?: Origin;
  readonly isPodCidr?: boolean;
}

interface KnownPrefix {
  readonly prefix: Prefix;
  readonly byResource: Map<string, PrefixInfo>;
}

/** Told of identities that this node made or let go; those made before any address has them, those let go after. */
export type LocalIdentityListener = (
  added: ReadonlyMap<NumericIdentity, LabelSet>,
  deleted: readonly NumericIdentity[],
) => void;

/**
 * Gives ranges of addresses identities of this node's own, by all that is said of them and of wider ranges, and puts them into the
 * ipcache (pkg/ipcache/metadata.go).
 *
 * What all nodes are told is kept once, and a node that knows more of some ranges, as names of DNS that its own pods asked for, has a
 * layer above it. Their numbers come out of one allocator: numbers of this scope never leave a node, so that any numbering is as good as
 * another, and equal ones let nodes share what is worked out of them.
 */
export class PrefixMetadata {
  readonly #ipCache: IpCache;
  readonly #settings: PrefixLabelSettings;
  readonly #onChange: LocalIdentityListener;
  readonly #prefixes = new Map<string, KnownPrefix>();
  /** Ranges to look at, see {@link inject}. */
  readonly #changed = new Map<string, Prefix>();
  /** Identities that ranges hold a reference of. */
  readonly #held = new Map<string, NumericIdentity>();
  readonly #hostLabels = new Map<string, LabelSet>();
  readonly #local: LocalIdentities;
  readonly #remoteNodes: LocalIdentities;
  readonly #below: PrefixMetadata | undefined;
  readonly #layers = new Set<PrefixMetadata>();
  /** How many ranges there are of a length. */
  readonly #lengths = new Map<number, number>();

  /** @param below what this is a layer above of */
  constructor(
    ipCache: IpCache,
    settings: PrefixLabelSettings,
    onChange: LocalIdentityListener = () => {},
    below?: PrefixMetadata,
  ) {
    this.#ipCache = ipCache;
    this.#settings = settings;
    this.#onChange = onChange;
    this.#below = below;
    if (below === undefined) {
      this.#local = new LocalIdentities(IDENTITY_SCOPE.local);
      this.#remoteNodes = new LocalIdentities(IDENTITY_SCOPE.remoteNode);
    } else {
      this.#local = below.#local;
      this.#remoteNodes = below.#remoteNodes;
      below.#layers.add(this);
    }
  }

  labelsOf(identity: NumericIdentity): LabelSet | undefined {
    return this.#local.labelsOf(identity) ?? this.#remoteNodes.labelsOf(identity);
  }

  /** A layer that nobody needs any more follows no changes. */
  close(): void {
    for (const { prefix, byResource } of [...this.#prefixes.values()]) {
      for (const resource of [...byResource.keys()]) this.remove(prefix, resource);
    }
    this.inject();
    const below = this.#below;
    if (below !== undefined) below.#layers.delete(this);
  }

  /** @param resource who says so; it says one thing of a range */
  upsert(prefix: Prefix, resource: string, info: PrefixInfo): void {
    const key = String(prefix);
    let known = this.#prefixes.get(key);
    if (known === undefined) {
      known = { prefix, byResource: new Map() };
      this.#prefixes.set(key, known);
      this.#lengths.set(prefix.length, (this.#lengths.get(prefix.length) ?? 0) + 1);
    }
    const old = known.byResource.get(resource);
    known.byResource.set(resource, info);
    this.#touch(prefix, comesDown(info) || (old !== undefined && comesDown(old)));
  }

  remove(prefix: Prefix, resource: string): void {
    const known = this.#prefixes.get(String(prefix));
    const info = known?.byResource.get(resource);
    if (known === undefined || info === undefined) return;
    known.byResource.delete(resource);
    this.#touch(prefix, comesDown(info));
    if (known.byResource.size > 0) return;
    this.#prefixes.delete(String(prefix));
    this.#lengths.set(prefix.length, (this.#lengths.get(prefix.length) ?? 1) - 1);
  }

  /** Gives the ranges that changed, and those in them, their identities. @returns ranges for which there is no number left */
  inject(): readonly Prefix[] {
    const left: Prefix[] = [];
    const added = new Map<NumericIdentity, LabelSet>();
    const entries: (readonly [Prefix, IpCacheEntry | undefined])[] = [];
    const released: NumericIdentity[] = [];
    for (const [key, prefix] of this.#changed) {
      const known = this.#prefixes.get(key);
      const old = this.#held.get(key);
      if (known === undefined) {
        entries.push([prefix, undefined]);
        this.#held.delete(key);
        this.#dropHost(key, added);
      } else {
        const labels = this.#resolve(known);
        const identity = this.#acquire(key, labels, added);
        if (identity === undefined) {
          left.push(prefix);
          continue;
        }
        entries.push([prefix, entryOf(identity, known)]);
        this.#held.set(key, identity);
      }
      if (old !== undefined) released.push(old);
    }
    this.#changed.clear();
    for (const prefix of left) this.#changed.set(String(prefix), prefix);
    if (added.size > 0) this.#onChange(added, []);
    for (const [prefix, entry] of entries) this.#write(prefix, entry);
    const deleted = released.filter((identity) => this.#release(identity));
    if (deleted.length > 0) this.#onChange(new Map(), deleted);
    for (const layer of this.#layers) layer.inject();
    return left;
  }

  #write(prefix: Prefix, entry: IpCacheEntry | undefined): void {
    const old = this.#ipCache.get(prefix);
    if (entry === undefined) {
      if (old !== undefined) this.#ipCache.delete(prefix, old.source);
      return;
    }
    // What this object said before it may say less strongly now.
    const isOther = old !== undefined && old.source !== entry.source;
    this.#ipCache.upsert(prefix, entry, isOther && old.identity !== entry.identity);
  }

  #resolve({ prefix, byResource }: KnownPrefix): LabelSet {
    const inherited = inheritLabels(
      this.#labels(prefix, byResource),
      prefix,
      (wider) => this.#labels(wider, this.#prefixes.get(String(wider))?.byResource),
      (length) => this.#hasLength(length),
    );
    return resolveLabels(inherited, prefix, this.#settings);
  }

  /** What is said of exactly this range here and below. */
  #labels(prefix: Prefix, own: ReadonlyMap<string, PrefixInfo> | undefined): LabelSet {
    const all = new Map(own);
    const below = this.#below;
    if (below !== undefined) {
      for (const [resource, info] of below.#prefixes.get(String(prefix))?.byResource ?? []) {
        all.set(resource, info);
      }
    }
    return mergeLabels(all);
  }

  #hasLength(length: number): boolean {
    if ((this.#lengths.get(length) ?? 0) > 0) return true;
    const below = this.#below;
    return below === undefined ? false : below.#hasLength(length);
  }

  #acquire(
    key: string,
    labels: LabelSet,
    added: Map<NumericIdentity, LabelSet>,
  ): NumericIdentity | undefined {
    if (isReserved(labels, "host")) {
      this.#hostLabels.set(key, labels);
      added.set(RESERVED_IDENTITY.host, this.#allHostLabels());
      return RESERVED_IDENTITY.host;
    }
    this.#dropHost(key, added);
    const { cidrMatchesNodes, nodeLabels } = this.#settings;
    const reserved = reservedIdentityOf(labels, cidrMatchesNodes || nodeLabels);
    if (reserved !== undefined) return reserved;
    const identities =
      scopeOfLabels(labels) === IDENTITY_SCOPE.remoteNode ? this.#remoteNodes : this.#local;
    const made = identities.acquire(labels);
    if (made?.isNew) added.set(made.identity, labels);
    return made?.identity;
  }

  /** @returns whether nobody has the identity any more */
  #release(identity: NumericIdentity): boolean {
    return this.#local.release(identity) || this.#remoteNodes.release(identity);
  }

  #dropHost(key: string, added: Map<NumericIdentity, LabelSet>): void {
    if (this.#hostLabels.delete(key)) added.set(RESERVED_IDENTITY.host, this.#allHostLabels());
  }

  /** The node has one identity, whatever is said of its addresses (updateReservedHostLabels). */
  #allHostLabels(): LabelSet {
    return labelSet([reservedLabel("host"), ...[...this.#hostLabels.values()].flat()]);
  }

  /** @param comesDown whether what is said of a range changes the narrower ones in it, too */
  #touch(prefix: Prefix, comesDown: boolean): void {
    this.#changed.set(String(prefix), prefix);
    if (comesDown && !prefix.isHost) {
      for (const [key, known] of this.#prefixes) {
        if (prefix.covers(known.prefix)) this.#changed.set(key, known.prefix);
      }
    }
    for (const layer of this.#layers) layer.#touchBelow(prefix, comesDown);
  }

  #touchBelow(prefix: Prefix, comesDown: boolean): void {
    const key = String(prefix);
    if (this.#prefixes.has(key)) this.#changed.set(key, prefix);
    if (!comesDown || prefix.isHost) return;
    for (const [at, known] of this.#prefixes) {
      if (prefix.covers(known.prefix)) this.#changed.set(at, known.prefix);
    }
  }
}

/** That a range is the world its parts are told anyway, if they are not in the cluster. */
function comesDown({ labels }: PrefixInfo): boolean {
  return labels.some((each) => !isWorldLabel(each));
}

/** Infos with the strongest source first, and of those of one source by the name of who says so. */
function byStrength(byResource: ReadonlyMap<string, PrefixInfo>): readonly PrefixInfo[] {
  return [...byResource]
    .sort(([a, x], [b, y]) => {
      if (x.source !== y.source) return allowsOverwrite(y.source, x.source) ? -1 : 1;
      return a < b ? -1 : 1;
    })
    .map(([, info]) => info);
}

function mergeLabels(byResource: ReadonlyMap<string, PrefixInfo>): LabelSet {
  return labelSet([...byStrength(byResource)].reverse().flatMap(({ labels }) => labels));
}

function entryOf(identity: NumericIdentity, { byResource }: KnownPrefix): IpCacheEntry {
  const infos = byStrength(byResource);
  const tunnelEndpoint = infos.find((each) => each.tunnelEndpoint !== undefined)?.tunnelEndpoint;
  return {
    identity,
    source: infos[0]?.source ?? "unspec",
    encryptKey: infos.find((each) => each.encryptKey)?.encryptKey ?? 0,
    skipTunnel: infos.some((each) => each.skipTunnel === true),
    ...(tunnelEndpoint !== undefined && { tunnelEndpoint }),
    ...(infos[0]?.origin && { origin: infos[0].origin }),
    ...(infos.every((each) => each.isPodCidr === true) && { isPodCidr: true }),
  };
}
