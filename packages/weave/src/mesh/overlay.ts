import type { IpAddress } from "@cnilab/net";
import type { GossipPayload } from "./gossiper.ts";
import type { PeerDescription } from "./peer.ts";

/** What an overlay is told of a connection that it is to carry data beside (mesh/overlay.go). */
export interface OverlayConnectionParams {
  readonly remote: PeerDescription;
  readonly localAddress: IpAddress;
  readonly remoteAddress: IpAddress;
  /** Of the TCP connection: what the other end listens at, where it is outbound. */
  readonly remotePort: number;
  readonly outbound: boolean;
  /** The same at both ends. */
  readonly connectionUid: bigint;
  readonly encrypted: boolean;
  readonly features: ReadonlyMap<string, string>;
  /** Says something to the overlay at the other end, over TCP. */
  readonly sendControlMessage: (tag: number, message: GossipPayload) => void;
  /** Data has been seen to get through: the connection counts from now on. */
  readonly established: () => void;
  /** It carries no data any more: the connection ends. */
  readonly failed: (error: Error) => void;
}

/** One connection's data plane: passive until it is confirmed. */
export interface OverlayConnection {
  /** As `weave status connections` names it: `fastdp`, `sleeve`. */
  readonly name: string;
  /** The connection is wanted, and no double: heartbeats may begin. */
  confirm(): void;
  controlMessage(tag: number, message: GossipPayload): void;
  stop(): void;
}

/** How peers carry data to each other. */
export interface Overlay {
  addFeaturesTo(features: Map<string, string>): void;
  /** @throws Error where the other end has no overlay that we have; the connection ends */
  prepareConnection(params: OverlayConnectionParams): OverlayConnection;
}

/** A mesh without data: connections are established at once (`NullOverlay`). */
export const NULL_OVERLAY: Overlay = {
  addFeaturesTo() {},
  prepareConnection: ({ established }) => ({
    name: "none",
    confirm: established,
    controlMessage() {},
    stop() {},
  }),
};
