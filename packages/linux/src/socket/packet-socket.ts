import type { NetDevice } from "../device/net-device.ts";
import type { Skb } from "../skb.ts";

/**
 * A packet socket bound to one device and one EtherType (packet(7), `SOCK_RAW`): it sees such frames when tc and a bridge
 * have let them through, before the protocol does (net/core/dev.c `__netif_receive_skb_core`), and sends frames as they are.
 */
export class PacketSocket {
  readonly device: NetDevice;
  readonly etherType: number;
  /** The program that has it. */
  readonly owner: string;
  /** Looks at a frame, which then goes on to its protocol, and changes nothing of it. */
  readonly onReceive: (frame: Skb) => void;
  /** Which frames it wants to see (`SO_ATTACH_FILTER`). */
  readonly filter: (frame: Skb) => boolean;

  constructor(
    device: NetDevice,
    etherType: number,
    owner: string,
    onReceive: (frame: Skb) => void,
    filter: (frame: Skb) => boolean = () => true,
  ) {
    this.device = device;
    this.etherType = etherType;
    this.owner = owner;
    this.onReceive = onReceive;
    this.filter = filter;
    const { netns } = device;
    netns.packetSockets = [...(netns.packetSockets ?? []), this];
    netns.network.touch();
  }

  send(frame: Skb): void {
    frame.summedBySender = true;
    this.device.queueTransmit(frame);
    this.device.network.run();
  }

  close(): void {
    const { netns } = this.device;
    const left = netns.packetSockets?.filter((socket) => socket !== this) ?? [];
    netns.packetSockets = left.length === 0 ? undefined : left;
    netns.network.touch();
  }
}

/** Shows a frame to the sockets that are bound to its device and EtherType. */
export function tapFrame(dev: NetDevice, frame: Skb): void {
  for (const socket of dev.netns.packetSockets ?? []) {
    if (socket.device !== dev || socket.etherType !== frame.etherType) continue;
    if (!socket.filter(frame)) continue;
    dev.network.recording?.unrepeatable();
    socket.onReceive(frame);
  }
}
