import { ETH_P_ALL, type NetDevice, PacketSocket, Skb } from "@cnilab/linux";
import type { FlowOp, PacketKey } from "./flow-op.ts";
import type { Consumer, InjectorConsumer } from "./injector-consumer.ts";

/** Captures what comes to a device, and sends by it what is for the containers (router/pcap.go). */
export class Pcap implements InjectorConsumer {
  readonly #device: NetDevice;
  #socket: PacketSocket | undefined;
  #received = 0;
  readonly #inject: FlowOp = {
    discards: false,
    process: (frame) => this.#socket?.send(captured(frame)),
  };

  /** @param device `vethwe-pcap`, whose other end is a port of the bridge */
  constructor(device: NetDevice) {
    this.#device = device;
  }

  get deviceName(): string {
    return this.#device.name;
  }

  toString(): string {
    return `${this.#device.name} (via pcap)`;
  }

  injectPacket(_key: PacketKey): FlowOp {
    return this.#inject;
  }

  startConsumingPackets(consumer: Consumer): void {
    if (this.#socket !== undefined) throw new Error("already consuming");
    this.#device.promiscuity++;
    this.#socket = new PacketSocket(this.#device, ETH_P_ALL, "weaver", (frame) => {
      this.#received++;
      const { srcMac, dstMac } = frame;
      const op = consumer({ srcMac, dstMac });
      if (!op.discards) op.process(captured(frame), false);
    });
  }

  stats(): Readonly<Record<string, number>> {
    if (this.#socket === undefined) return {};
    return { PacketsReceived: this.#received, PacketsDropped: 0, PacketsIfDropped: 0 };
  }

  stop(): void {
    if (this.#socket === undefined) return;
    this.#device.promiscuity--;
    this.#socket.close();
    this.#socket = undefined;
  }
}

/** A frame as a program has it: bytes, and nothing that the kernel knew of it. Its trace goes on. */
function captured(frame: Skb): Skb {
  const copy = new Skb(frame.etherType, frame.packet.clone(), undefined);
  copy.dstMac = frame.dstMac;
  copy.srcMac = frame.srcMac;
  copy.trace = frame.trace;
  copy.number = frame.number;
  return copy;
}
