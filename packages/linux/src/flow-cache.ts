import type { Payload } from "@cnilab/net";
import type { NetDevice } from "./device/net-device.ts";
import type { Network } from "./network.ts";
import type { Skb } from "./skb.ts";

/** Something that every packet of a flow does to kernel state, such as counting or refreshing. */
export interface FlowEffect {
  /** Does it for `packets` packets, the last of which was sent at `time` (virtual ms). */
  repeat(packets: number, time: number): void;
}

/** Something that a walk relied on, such as the state of one connection. */
export interface FlowCondition {
  /** Whether it is still as it was. Never becomes true again. */
  holds: boolean;
}

class DeviceCount implements FlowEffect {
  readonly #dev: NetDevice;
  readonly #received: boolean;
  readonly #bytes: number;

  constructor(dev: NetDevice, received: boolean, bytes: number) {
    this.#dev = dev;
    this.#received = received;
    this.#bytes = bytes;
  }

  repeat(packets: number): void {
    if (this.#received) {
      this.#dev.rxPackets += packets;
      this.#dev.rxBytes += packets * this.#bytes;
    } else {
      this.#dev.txPackets += packets;
      this.#dev.txBytes += packets * this.#bytes;
    }
  }
}

/**
 * What one walk did, noted while it ran, so that the next packet of the same flow can skip it. Code on
 * the packet path that changes state either notes how to do so again, or says that it cannot be
 * repeated ({@link unrepeatable}): random choices, rate limits, first packets of connections.
 */
export class FlowRecording {
  readonly effects: FlowEffect[] = [];
  readonly conditions: FlowCondition[] = [];
  repeatable = true;
  /** Virtual ms after which some state on the way expires. */
  validUntil: number = Number.POSITIVE_INFINITY;
  /** Who received the packet, and how it looked then. */
  delivery: { readonly receiver: FlowReceiver; readonly skb: Skb } | undefined = undefined;

  unrepeatable(): void {
    this.repeatable = false;
  }

  effect(effect: FlowEffect): void {
    this.effects.push(effect);
  }

  count(dev: NetDevice, received: boolean, bytes: number): void {
    this.effects.push(new DeviceCount(dev, received, bytes));
  }

  /** The walk may be repeated while `condition` holds: finer than `Network.touch`, which ends all. */
  dependsOn(condition: FlowCondition): void {
    this.conditions.push(condition);
  }

  expires(at: number): void {
    if (at < this.validUntil) this.validUntil = at;
  }
}

/** A socket that takes a packet out of a cached walk. */
export interface FlowReceiver {
  receiveCached(skb: Skb, payload: Payload): void;
}

/** A walk that can be repeated without walking. */
export class CachedFlow {
  readonly #network: Network;
  readonly #epoch: number;
  readonly #validUntil: number;
  readonly #effects: readonly FlowEffect[];
  readonly #conditions: readonly FlowCondition[];
  readonly #receiver: FlowReceiver;
  readonly #skb: Skb;
  #pending = 0;
  #lastSent = 0;

  private constructor(
    network: Network,
    recording: FlowRecording,
    receiver: FlowReceiver,
    skb: Skb,
  ) {
    this.#network = network;
    this.#epoch = network.epoch;
    this.#validUntil = recording.validUntil;
    this.#effects = recording.effects;
    this.#conditions = recording.conditions;
    this.#receiver = receiver;
    this.#skb = skb;
  }

  /** The flow of a finished recording; `undefined` when it cannot be repeated. */
  static from(network: Network, recording: FlowRecording): CachedFlow | undefined {
    const { delivery } = recording;
    if (!recording.repeatable || delivery === undefined) return undefined;
    return new CachedFlow(network, recording, delivery.receiver, delivery.skb);
  }

  /** Whether nothing has changed that could make the next packet take another way. */
  get valid(): boolean {
    if (this.#epoch !== this.#network.epoch || this.#network.clock.now > this.#validUntil) {
      return false;
    }
    for (const condition of this.#conditions) if (!condition.holds) return false;
    return true;
  }

  /** Delivers another packet of the flow. */
  send(payload: Payload): void {
    if (this.#pending++ === 0) this.#network.flowPending(this);
    this.#lastSent = this.#network.clock.now;
    this.#receiver.receiveCached(this.#skb, payload);
  }

  /** Does to kernel state what the packets since the last time would have done one by one. */
  settle(): void {
    const packets = this.#pending;
    if (packets === 0) return;
    this.#pending = 0;
    for (const effect of this.#effects) effect.repeat(packets, this.#lastSent);
  }
}
