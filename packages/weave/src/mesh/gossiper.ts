import type { PeerName } from "./peer-name.ts";

/** What is said on a channel; it must not change once it is said. */
export interface GossipPayload {
  /** Bytes, without what the channel puts before it. */
  readonly wireLength: number;
}

/** Something to say that is not put into words before it leaves: what comes meanwhile is merged into it (mesh/gossip.go). */
export interface GossipData {
  encode(): GossipPayload;
  merge(other: GossipData): GossipData;
}

/** Who hears a channel. What is thrown ends the connection that the message came by. */
export interface Gossiper {
  onUnicast(source: PeerName, payload: GossipPayload): void;
  /** @returns what is told on; nothing where it goes no further */
  onBroadcast(source: PeerName, payload: GossipPayload): GossipData | undefined;
  /** Everything that there is to say, asked for at regular times and for a new neighbour. */
  gossip(): GossipData | undefined;
  /** @returns what of it was new, to be told on */
  onGossip(payload: GossipPayload): GossipData | undefined;
}
