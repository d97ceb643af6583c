import type { GossipData, Gossiper, GossipPayload } from "./gossiper.ts";
import type { PeerDescription } from "./peer.ts";
import type { PeerName } from "./peer-name.ts";
import type { Peers } from "./peers.ts";
import { wireDescription } from "./wire-length.ts";

/** Descriptions of peers, as they are told to a neighbour. */
export class TopologyUpdate implements GossipPayload {
  readonly peers: readonly PeerDescription[];
  readonly wireLength: number;

  constructor(peers: readonly PeerDescription[]) {
    this.peers = peers;
    this.wireLength = peers.reduce((sum, peer) => sum + wireDescription(peer), 0);
  }
}

/** Peers that somebody is told of, as they are known when it leaves. */
export class TopologyData implements GossipData {
  readonly #peers: Peers;
  readonly #names: ReadonlySet<PeerName>;
  /** Told to several neighbours, mostly in one moment. */
  #told: { readonly version: number; readonly update: TopologyUpdate } | undefined;

  constructor(peers: Peers, names: ReadonlySet<PeerName>) {
    this.#peers = peers;
    this.#names = names;
  }

  encode(): TopologyUpdate {
    const { version } = this.#peers;
    if (this.#told?.version !== version) {
      const known = [...this.#names].flatMap((name) => this.#peers.get(name) ?? []);
      this.#told = { version, update: new TopologyUpdate(known) };
    }
    return this.#told.update;
  }

  merge(other: GossipData): GossipData {
    if (!(other instanceof TopologyData)) return this;
    const names = new Set([...this.#names, ...other.#names]);
    return names.size === this.#names.size ? this : new TopologyData(this.#peers, names);
  }
}

/** The channel that tells who there is and who is connected to whom (mesh/router.go). */
export class TopologyGossiper implements Gossiper {
  readonly #peers: Peers;
  readonly #updated: (isNews: boolean) => void;

  /** @param updated an update has come */
  constructor(peers: Peers, updated: (isNews: boolean) => void) {
    this.#peers = peers;
    this.#updated = updated;
  }

  onUnicast(source: PeerName): void {
    throw new Error(`unexpected topology gossip unicast from ${source}`);
  }

  onBroadcast(_: PeerName, payload: GossipPayload): GossipData | undefined {
    const update = updateOf(payload);
    this.#apply(update);
    if (update.peers.length === 0) return undefined;
    return new TopologyData(this.#peers, new Set(update.peers.map(({ name }) => name)));
  }

  gossip(): GossipData {
    return new TopologyData(this.#peers, new Set(this.#peers.names()));
  }

  onGossip(payload: GossipPayload): GossipData | undefined {
    const news = this.#apply(updateOf(payload));
    return news.size === 0 ? undefined : new TopologyData(this.#peers, news);
  }

  #apply({ peers }: TopologyUpdate): Set<PeerName> {
    const news = this.#peers.apply(peers);
    this.#updated(news.size > 0);
    return news;
  }
}

function updateOf(payload: GossipPayload): TopologyUpdate {
  if (payload instanceof TopologyUpdate) return payload;
  throw new Error("what came as topology gossip is none");
}
