import type { FlowOp, PacketKey } from "./flow-op.ts";

/** Says what becomes of a frame that was captured on the node. */
export type Consumer = (key: PacketKey) => FlowOp;

/** The router's side of the node's bridge (router/injector_consumer.go). */
export interface InjectorConsumer {
  /** The device that it is there by. */
  readonly deviceName: string;
  /** As `weave status` names it: `datapath (via ODP)`. */
  toString(): string;
  /** Brings a frame to the node's containers. */
  injectPacket(key: PacketKey): FlowOp;
  /** Frames that were injected are not among those that the consumer sees. @throws Error where there is a consumer */
  startConsumingPackets(consumer: Consumer): void;
  /** Counters, by the names that Weave gives them. */
  stats(): Readonly<Record<string, number>>;
  /** The process ends. */
  stop(): void;
}
