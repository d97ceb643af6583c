import { type NetDevice, PacketSocket, Skb } from "@cnilab/linux";
import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  BROADCAST_MAC,
  ETH_P_ARP,
  type IpAddress,
  type Mac,
} from "@cnilab/net";
import type { Responder } from "./responder.ts";

/** MetalLB internal/layer2/arp.go. */
export class ArpResponder implements Responder {
  readonly #card: NetDevice;
  readonly #announces: (address: IpAddress) => boolean;
  readonly #socket: PacketSocket;

  constructor(card: NetDevice, announces: (address: IpAddress) => boolean) {
    this.#card = card;
    this.#announces = announces;
    this.#socket = new PacketSocket(card, ETH_P_ARP, "speaker", (frame) => this.#asked(frame));
  }

  watch(): void {}

  unwatch(): void {}

  /** As request and as reply: of some machines only the one, of others only the other changes what they know. */
  gratuitous(address: IpAddress): void {
    if (typeof address !== "number") return;
    const { mac } = this.#card;
    for (const op of [ARP_REQUEST, ARP_REPLY]) {
      this.#send(new ArpPacket(op, mac, address, BROADCAST_MAC, address), BROADCAST_MAC);
    }
  }

  close(): void {
    this.#socket.close();
  }

  #asked(frame: Skb): void {
    const { op, targetIp, senderIp, senderMac } = frame.packet as ArpPacket;
    if (op !== ARP_REQUEST || !this.#announces(targetIp)) return;
    if (frame.dstMac !== BROADCAST_MAC && frame.dstMac !== this.#card.mac) return;
    const reply = new ArpPacket(ARP_REPLY, this.#card.mac, targetIp, senderMac, senderIp);
    this.#send(reply, senderMac, frame);
  }

  #send(packet: ArpPacket, to: Mac, cause?: Skb): void {
    const skb = new Skb(ETH_P_ARP, packet, cause?.trace);
    skb.srcMac = this.#card.mac;
    skb.dstMac = to;
    this.#socket.send(skb);
  }
}
