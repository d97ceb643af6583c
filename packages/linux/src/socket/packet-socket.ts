import type { NetDevice } from "../device/net-device.ts";
import type { Skb } from "../skb.ts";

/** In place of an EtherType: frames of all (include/uapi/linux/if_ether.h). */
export const ETH_P_ALL = 0x0003;

/**
 * A packet socket bound to one device and one EtherType (packet(7), `SOCK_RAW`): it sees such frames when tc and a bridge
 * have let them through, before the protocol does, those of `ETH_P_ALL` before tc and the bridge (net/core/dev.c
 * `__netif_receive_skb_core`), and sends frames as they are. Frames that the machine itself sends are shown to nobody.
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

/** Shows a frame to the sockets that are bound to its device and to `etherType`: its own, or `ETH_P_ALL`. */
export function tapFrame(dev: NetDevice, frame: Skb, etherType: number): void {
  for (const socket of dev.netns.packetSockets ?? []) {
    if (socket.device !== dev || socket.etherType !== etherType) continue;
    if (!socket.filter(frame)) continue;
    dev.network.recording?.unrepeatable();
    socket.onReceive(frame);
  }
}
