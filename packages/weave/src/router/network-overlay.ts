import type { Overlay, OverlayConnection, OverlayConnectionParams } from "../mesh/overlay.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Peers } from "../mesh/peers.ts";
import type { FlowOp, ForwardPacketKey } from "./flow-op.ts";

/** Says what becomes of a frame that came from another peer. */
export type OverlayConsumer = (key: ForwardPacketKey) => FlowOp;

export interface NetworkConnectionParams extends OverlayConnectionParams {
  /**
   * Heartbeats are missed, or come again: the connection stays, and who has several overlays takes the next one meanwhile
   * (`HealthChannel`).
   */
  readonly healthChanged?: (healthy: boolean) => void;
}

/** One connection's data plane, through which frames leave. */
export interface OverlayForwarder extends OverlayConnection {
  /** Largest packet that containers may send through it; absent while it is not known. */
  readonly mtu?: number | undefined;
  /** Right from the start, before it is confirmed. `undefined` where it cannot carry what has this key. */
  forward(key: ForwardPacketKey): FlowOp | undefined;
}

/** An overlay that carries the frames of a network (router/network_overlay.go). */
export interface NetworkOverlay extends Overlay {
  prepareConnection(params: NetworkConnectionParams): OverlayForwarder;
  /** @throws Error where there is a consumer */
  startConsumingPackets(localPeer: PeerName, peers: Peers, consumer: OverlayConsumer): void;
  /** Routes are others: nothing counts that was made of the old ones. */
  invalidateRoutes(): void;
  /** A short id stands for another peer. */
  invalidateShortIds(): void;
  /** What `weave report` says of it: plain data. */
  diagnostics(): unknown;
  /** The process ends. */
  stop(): void;
}
