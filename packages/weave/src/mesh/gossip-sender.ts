import type { Clock, Timer } from "@cnilab/core";
import type { GossipData, GossipPayload } from "./gossiper.ts";
import type { PeerName } from "./peer-name.ts";

/** Puts what one channel has to say on the wire of one connection. */
export interface GossipWire {
  gossip(payload: GossipPayload): void;
  broadcast(source: PeerName, payload: GossipPayload): void;
}

/** Gathers what a channel has to say to one neighbour until it can leave: what comes in one moment leaves as one (mesh/gossip.go gossipSender). */
export class GossipSender {
  readonly #clock: Clock;
  readonly #wire: GossipWire;
  #gossip: GossipData | undefined;
  readonly #broadcasts = new Map<PeerName, GossipData>();
  #timer: Timer | undefined;

  constructor(clock: Clock, wire: GossipWire) {
    this.#clock = clock;
    this.#wire = wire;
  }

  send(data: GossipData): void {
    this.#gossip = this.#gossip?.merge(data) ?? data;
    this.#prod();
  }

  broadcast(source: PeerName, data: GossipData): void {
    this.#broadcasts.set(source, this.#broadcasts.get(source)?.merge(data) ?? data);
    this.#prod();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#gossip = undefined;
    this.#broadcasts.clear();
  }

  #prod(): void {
    this.#timer ??= this.#clock.schedule(0, () => {
      this.#timer = undefined;
      this.#deliver();
    });
  }

  #deliver(): void {
    const gossip = this.#gossip;
    this.#gossip = undefined;
    const broadcasts = [...this.#broadcasts];
    this.#broadcasts.clear();
    if (gossip !== undefined) this.#wire.gossip(gossip.encode());
    for (const [source, data] of broadcasts) this.#wire.broadcast(source, data.encode());
  }
}
