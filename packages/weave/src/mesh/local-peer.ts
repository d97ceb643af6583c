import type { Clock, Timer } from "@cnilab/core";
import type { MeshConnection } from "./mesh-connection.ts";
import { type PeerDescription, peerText } from "./peer.ts";
import type { PeerName } from "./peer-name.ts";
import type { Peers } from "./peers.ts";

/** `deferTopologyUpdateDuration`. */
const TOPOLOGY_UPDATE_MS = 1_000;

export interface LocalPeerOptions {
  readonly clock: Clock;
  readonly peers: Peers;
  /** 0 for none. */
  readonly connectionLimit: number;
  /** Connections are others: routes are, too. */
  readonly changed: () => void;
  /** What has changed is to be told to neighbours. */
  readonly tell: (peers: ReadonlySet<PeerName>) => void;
}

/** Our own connections, one to each neighbour (mesh/local_peer.go). */
export class LocalPeer {
  readonly #options: LocalPeerOptions;
  readonly #connections = new Map<PeerName, MeshConnection>();
  #toTell = new Set<PeerName>();
  #timer: Timer | undefined;

  constructor(options: LocalPeerOptions) {
    this.#options = options;
  }

  get connections(): ReadonlyMap<PeerName, MeshConnection> {
    return this.#connections;
  }

  /** @throws Error where there are as many as there may be */
  checkLimit(): void {
    const { connectionLimit } = this.#options;
    if (connectionLimit > 0 && this.#connections.size >= connectionLimit) {
      throw new Error(`Connection limit reached (${connectionLimit})`);
    }
  }

  /** Of two to one neighbour that with the lower UID stays. @throws Error where the new one must go */
  add(connection: MeshConnection): void {
    const { remote } = connection;
    const double = this.#connections.get(remote.name);
    if (double !== undefined) {
      const error = new Error(`Multiple connections to ${peerText(remote)} added to ${this.#name}`);
      if (connection.uid > double.uid) throw error;
      double.shutdown(error);
      if (connection.uid === double.uid) throw error;
    }
    this.checkLimit();
    this.#connections.set(remote.name, connection);
    this.#update();
    this.#options.changed();
    this.tellLater(remote.name);
  }

  established(connection: MeshConnection): void {
    if (this.#connections.get(connection.remote.name) !== connection) {
      connection.shutdown(new Error("Cannot set unknown connection active"));
      return;
    }
    this.#update();
    this.#options.changed();
    this.tellLater();
  }

  delete(connection: MeshConnection): void {
    const { name } = connection.remote;
    if (this.#connections.get(name) !== connection) return;
    this.#connections.delete(name);
    this.#update();
    // First, so that others are not told of peers that are out of reach.
    this.#options.peers.garbageCollect();
    this.#options.changed();
    this.tellLater();
  }

  /** Neighbours hear of us and of these, together with what else changes soon. */
  tellLater(...peers: readonly PeerName[]): void {
    for (const peer of peers) this.#toTell.add(peer);
    this.#timer ??= this.#options.clock.schedule(TOPOLOGY_UPDATE_MS, () => {
      this.#timer = undefined;
      const told = this.#toTell.add(this.#options.peers.ourself.name);
      this.#toTell = new Set();
      this.#options.tell(told);
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  get #name(): string {
    return peerText(this.#options.peers.ourself);
  }

  #update(): void {
    const links: PeerDescription["connections"] = new Map(
      [...this.#connections].map(([name, { link }]) => [name, link]),
    );
    this.#options.peers.setConnections(links);
  }
}
