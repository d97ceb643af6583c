import type { Clock, Timer } from "@cnilab/core";
import { type Kernel, Nic, PacketSocket, Skb } from "@cnilab/linux";
import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  BROADCAST_MAC,
  ETH_P_ARP,
  type IpAddress,
  type Mac,
} from "@cnilab/net";

/** For so long a new holder tells everybody, and so often (MetalLB internal/layer2/announcer.go `spam`). */
const SPAM_MS = 5000;
const SPAM_INTERVAL_MS = 1100;

/**
 * Answers ARP on a node's network cards for addresses that the node does not have (MetalLB internal/layer2/arp.go): a program
 * with a packet socket on each card. The kernel knows nothing of these addresses; what kube-proxy wrote takes the packets.
 */
export class Announcer {
  readonly #machine: Kernel;
  readonly #clock: Clock;
  readonly #addresses = new Map<IpAddress, Timer[]>();
  #sockets: readonly PacketSocket[] = [];

  constructor(machine: Kernel, clock: Clock) {
    this.#machine = machine;
    this.#clock = clock;
  }

  get addresses(): Iterable<IpAddress> {
    return this.#addresses.keys();
  }

  announces(address: IpAddress): boolean {
    return this.#addresses.has(address);
  }

  add(address: IpAddress): void {
    if (this.#addresses.has(address)) return;
    if (this.#sockets.length === 0) this.#sockets = this.#listen();
    const timers: Timer[] = [];
    this.#addresses.set(address, timers);
    for (let at = 0; at < SPAM_MS; at += SPAM_INTERVAL_MS) {
      const background = at > 0;
      timers.push(this.#clock.schedule(at, () => this.#gratuitous(address), { background }));
    }
  }

  remove(address: IpAddress): void {
    for (const timer of this.#addresses.get(address) ?? []) timer.cancel();
    this.#addresses.delete(address);
    if (this.#addresses.size > 0) return;
    for (const socket of this.#sockets) socket.close();
    this.#sockets = [];
  }

  stop(): void {
    for (const address of [...this.#addresses.keys()]) this.remove(address);
  }

  #listen(): PacketSocket[] {
    const cards = this.#machine.initNs.devices.filter((d) => d instanceof Nic && d.up && !d.master);
    return cards.map((card) => {
      const socket: PacketSocket = new PacketSocket(card, ETH_P_ARP, "speaker", (frame) => {
        const { op, targetIp, senderIp, senderMac } = frame.packet as ArpPacket;
        if (op !== ARP_REQUEST || !this.#addresses.has(targetIp)) return;
        if (frame.dstMac !== BROADCAST_MAC && frame.dstMac !== card.mac) return;
        const reply = new ArpPacket(ARP_REPLY, card.mac, targetIp, senderMac, senderIp);
        socket.send(framed(reply, card.mac, senderMac, frame));
      });
      return socket;
    });
  }

  /** As request and as reply: of some machines only the one, of others only the other changes what they know. */
  #gratuitous(address: IpAddress): void {
    if (typeof address !== "number") return;
    for (const socket of this.#sockets) {
      const { mac } = socket.device;
      for (const op of [ARP_REQUEST, ARP_REPLY]) {
        socket.send(
          framed(new ArpPacket(op, mac, address, BROADCAST_MAC, address), mac, BROADCAST_MAC),
        );
      }
    }
  }
}

function framed(packet: ArpPacket, from: Mac, to: Mac, cause?: Skb): Skb {
  const skb = new Skb(ETH_P_ARP, packet, cause?.trace);
  skb.srcMac = from;
  skb.dstMac = to;
  return skb;
}
