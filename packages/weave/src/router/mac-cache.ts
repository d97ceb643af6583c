import type { Clock } from "@cnilab/core";
import type { Mac } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";
import { Ticker } from "./ticker.ts";

/** Should be more than ARP entries live (router/network_router.go `macMaxAge`). */
const MAX_AGE_MS = 600_000;
/** An entry's age is not looked at more often, nor are old ones sought. */
const STEP_MS = MAX_AGE_MS / 10;

export interface MacCacheEntry {
  readonly peer: PeerName;
  /** Virtual milliseconds, a minute late at most. */
  readonly lastSeen: number;
}

/** At which peer a MAC is, learnt from frames (router/mac_cache.go). */
export class MacCache {
  readonly #clock: Clock;
  readonly #entries = new Map<Mac, MacCacheEntry>();
  readonly #byPeer = new Map<PeerName, Set<Mac>>();
  readonly #expiry: Ticker;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#expiry = new Ticker(clock, STEP_MS, () => this.#expire());
  }

  /** A frame from this MAC was seen at a peer. @returns the peer at which it is, if that is another one: then it stays there */
  add(mac: Mac, peer: PeerName): PeerName | undefined {
    const known = this.#entries.get(mac);
    if (known !== undefined && known.peer !== peer) return known.peer;
    this.#see(mac, peer, known);
    return undefined;
  }

  /** As {@link add}, but it is there now, wherever it was. Nobody is told, as Weave tells nobody. */
  addForced(mac: Mac, peer: PeerName): void {
    this.#see(mac, peer, this.#entries.get(mac));
  }

  lookup(mac: Mac): PeerName | undefined {
    return this.#entries.get(mac)?.peer;
  }

  /** All of a peer that is gone. */
  delete(peer: PeerName): void {
    for (const mac of this.#byPeer.get(peer) ?? []) this.#entries.delete(mac);
    this.#byPeer.delete(peer);
  }

  entries(): ReadonlyMap<Mac, MacCacheEntry> {
    return this.#entries;
  }

  stop(): void {
    this.#expiry.stop();
  }

  #see(mac: Mac, peer: PeerName, known: MacCacheEntry | undefined): void {
    const { now } = this.#clock;
    const isFresh = known !== undefined && now <= known.lastSeen + STEP_MS;
    if (isFresh && known.peer === peer) return;
    if (known?.peer !== peer) {
      if (known !== undefined) this.#leave(mac, known.peer);
      this.#byPeer.set(peer, (this.#byPeer.get(peer) ?? new Set()).add(mac));
    }
    this.#entries.set(mac, { peer, lastSeen: isFresh ? known.lastSeen : now });
    this.#expiry.wake();
  }

  #expire(): boolean {
    for (const [mac, { peer, lastSeen }] of this.#entries) {
      if (this.#clock.now <= lastSeen + MAX_AGE_MS) continue;
      this.#entries.delete(mac);
      this.#leave(mac, peer);
    }
    return this.#entries.size > 0;
  }

  #leave(mac: Mac, peer: PeerName): void {
    const macs = this.#byPeer.get(peer);
    macs?.delete(mac);
    if (macs?.size === 0) this.#byPeer.delete(peer);
  }
}
