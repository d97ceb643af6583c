import type { Skb } from "@cnilab/linux";
import type { Mac } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";

/** What the router looks at in a frame of the network (router/flow.go). */
export interface PacketKey {
  readonly srcMac: Mac;
  readonly dstMac: Mac;
}

/** A frame on its way between peers. A broadcast is for each neighbour that it is passed on to. */
export interface ForwardPacketKey extends PacketKey {
  /** The peer at which it came into the network. */
  readonly srcPeer: PeerName;
  readonly dstPeer: PeerName;
}

/** What is to be done with a frame, and with each one that has the same key. */
export interface FlowOp {
  /** Nothing is done with it. */
  readonly discards: boolean;
  /**
   * Does it. The frame stays the caller's: who changes or sends it takes a copy, with the trace in it.
   * @param broadcast a hint that others get the frame, too
   */
  process(frame: Skb, broadcast: boolean): void;
}

/** `DiscardingFlowOp`. */
export const DISCARD: FlowOp = { discards: true, process() {} };

/** Several things to do, one after the other. */
export class MultiFlowOp implements FlowOp {
  readonly #broadcast: boolean;
  readonly ops: FlowOp[];

  constructor(broadcast: boolean, ...ops: readonly FlowOp[]) {
    this.#broadcast = broadcast;
    this.ops = [...ops];
  }

  get discards(): boolean {
    return this.ops.every(({ discards }) => discards);
  }

  add(op: FlowOp): void {
    this.ops.push(op);
  }

  process(frame: Skb): void {
    for (const op of this.ops) op.process(frame, this.#broadcast);
  }
}

/** All that is to be done, without lists in lists (`FlattenFlowOp`). */
export function flattenFlowOp(op: FlowOp): FlowOp[] {
  return op instanceof MultiFlowOp ? op.ops.flatMap(flattenFlowOp) : [op];
}
