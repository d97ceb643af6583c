import type { Random } from "@cnilab/core";
import { FoundAddresses } from "./found-addresses.ts";
import { isNewer, type PeerDescription, type PeerLink, placeholder } from "./peer.ts";
import type { PeerName } from "./peer-name.ts";
import { type Topology, unicastRoutes } from "./routes.ts";
import { type ShortId, ShortIds } from "./short-ids.ts";

/** Who wants to know of changes that the peers themselves bring about. */
export interface PeersListener {
  /** A peer that cannot be reached any more is forgotten. */
  removed(peer: PeerDescription): void;
  /** A short id stands for another peer. */
  shortIdsChanged(): void;
  /** What we say of ourselves is something else, though our connections are the same. */
  ourselfChanged(): void;
}

/** What one peer knows of all, itself included (mesh/peers.go). */
export class Peers implements Topology {
  readonly #random: Random;
  readonly #listener: PeersListener;
  #ourself: PeerDescription;
  readonly #byName = new Map<PeerName, PeerDescription>();
  readonly #shortIds = new ShortIds();
  /** How many connections of ours lead to a peer: it stays though no route does yet. */
  readonly #held = new Map<PeerName, number>();
  #shortIdsChanged = false;
  readonly #addresses = new FoundAddresses();
  /** Rises when a peer becomes known, or is forgotten. */
  #namesVersion = 0;
  #version = 0;

  constructor(
    ourself: Omit<PeerDescription, "version" | "connections">,
    random: Random,
    listener: PeersListener,
  ) {
    this.#random = random;
    this.#listener = listener;
    this.#ourself = { ...ourself, version: 0, connections: new Map() };
    this.#byName.set(ourself.name, this.#ourself);
    if (ourself.shortId !== undefined) this.#shortIds.add(ourself.shortId, ourself.name);
  }

  get ourself(): PeerDescription {
    return this.#ourself;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Rises with whatever is known anew. */
  get version(): number {
    return this.#version;
  }

  names(): Iterable<PeerName> {
    return this.#byName.keys();
  }

  all(): Iterable<PeerDescription> {
    return this.#byName.values();
  }

  get(name: PeerName): PeerDescription | undefined {
    return this.#byName.get(name);
  }

  byShortId(id: ShortId): PeerDescription | undefined {
    const name = this.#shortIds.holder(id);
    return name === undefined ? undefined : this.#byName.get(name);
  }

  /** Rises when other peers are known, or others of {@link addressesOf}. */
  get foundVersion(): number {
    return this.#namesVersion + this.#addresses.version;
  }

  /** Where others say that they have found a peer, or may be found by whom it connected to. */
  addressesOf(name: PeerName): Iterable<string> {
    return this.#addresses.of(name);
  }

  connections(peer: PeerName): ReadonlyMap<PeerName, PeerLink> | undefined {
    return this.#byName.get(peer)?.connections;
  }

  /** Keeps a peer for a connection of ours, known or not. @returns what is known of it */
  hold(peer: PeerDescription): PeerDescription {
    this.#held.set(peer.name, (this.#held.get(peer.name) ?? 0) + 1);
    const known = this.#byName.get(peer.name);
    if (known !== undefined) return known;
    this.#put(peer);
    this.#tell();
    return peer;
  }

  release(name: PeerName): void {
    const count = (this.#held.get(name) ?? 0) - 1;
    if (count > 0) this.#held.set(name, count);
    else this.#held.delete(name);
  }

  /** Our connections are others. */
  setConnections(connections: ReadonlyMap<PeerName, PeerLink>): void {
    this.#setOurself({ connections, version: this.#ourself.version + 1 });
  }

  /** Takes what is newer than what is known. @returns the names of the peers that it was news of */
  apply(update: readonly PeerDescription[]): Set<PeerName> {
    const news = new Set<PeerName>();
    for (const theirs of update) {
      if (theirs.name === this.#ourself.name) {
        this.#heardOfOurself(theirs);
        continue;
      }
      const known = this.#byName.get(theirs.name);
      if (known === theirs || (known !== undefined && !isNewer(theirs, known))) continue;
      this.#put(theirs);
      news.add(theirs.name);
    }
    for (const name of news) {
      for (const remote of this.connections(name)?.keys() ?? []) {
        if (!this.#byName.has(remote)) this.#put(placeholder(remote));
      }
    }
    this.#tell();
    return news;
  }

  /** Forgets peers that no connection of anybody leads to from here. */
  garbageCollect(): void {
    const reached = unicastRoutes(this, this.#ourself.name, "all");
    const removed = [...this.#byName.values()].filter(
      ({ name }) => !reached.has(name) && !this.#held.has(name),
    );
    if (removed.length === 0) return;
    for (const peer of removed) {
      this.#byName.delete(peer.name);
      this.#namesVersion++;
      this.#version++;
      this.#addresses.replace(peer.connections, undefined);
      this.#withoutShortId(peer);
    }
    for (const peer of removed) this.#listener.removed(peer);
    // An id may be free now that was not when ours was lost.
    const { name, shortId } = this.#ourself;
    if (shortId === undefined || this.#shortIds.holder(shortId) !== name) this.#chooseShortId();
    this.#tell();
  }

  /** Somebody tells what our last life said: what we say now must count more (`setVersionBeyond`). */
  #heardOfOurself(theirs: PeerDescription): void {
    const { uid, version } = this.#ourself;
    if (theirs.uid === uid || theirs.version < version) return;
    this.#setOurself({ version: theirs.version + 1 });
    this.#listener.ourselfChanged();
  }

  #put(peer: PeerDescription): void {
    const { name, shortId } = peer;
    const before = this.#byName.get(name);
    if (before === undefined) this.#namesVersion++;
    this.#byName.set(name, peer);
    this.#version++;
    this.#addresses.replace(before?.connections, peer.connections);
    if (before?.shortId === shortId) return;
    if (before !== undefined) this.#withoutShortId(before);
    if (shortId === undefined) return;
    const holder = this.#shortIds.holder(shortId);
    if (this.#shortIds.add(shortId, name)) this.#shortIdsChanged = true;
    const ourself = this.#ourself.name;
    if (holder === ourself && this.#shortIds.holder(shortId) !== ourself) this.#chooseShortId();
  }

  #withoutShortId({ name, shortId }: PeerDescription): void {
    if (shortId !== undefined && this.#shortIds.remove(shortId, name)) this.#shortIdsChanged = true;
  }

  /** Where all are used it stays as it is, until some peer is gone. */
  #chooseShortId(): void {
    const shortId = this.#shortIds.choose(this.#random);
    if (shortId === undefined) return;
    this.#withoutShortId(this.#ourself);
    this.#setOurself({ shortId, version: this.#ourself.version + 1 });
    if (this.#shortIds.add(shortId, this.#ourself.name)) this.#shortIdsChanged = true;
    this.#listener.ourselfChanged();
  }

  #setOurself(change: Partial<PeerDescription>): void {
    this.#ourself = { ...this.#ourself, ...change };
    this.#byName.set(this.#ourself.name, this.#ourself);
    this.#version++;
  }

  #tell(): void {
    if (!this.#shortIdsChanged) return;
    this.#shortIdsChanged = false;
    this.#listener.shortIdsChanged();
  }
}
