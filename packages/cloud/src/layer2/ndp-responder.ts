import { type NetDevice, PacketSocket, Skb } from "@cnilab/linux";
import {
  ETH_P_IPV6,
  IPPROTO_ICMPV6,
  type IpAddress,
  IpPacket,
  type Ipv6Address,
  ipv6,
  type Mac,
  multicastMac,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
} from "@cnilab/net";
import type { Responder } from "./responder.ts";

const ALL_NODES = ipv6(0xff020000, 0, 0, 1);

/** MetalLB internal/layer2/ndp.go: neighbour discovery from the card's link-local address. */
export class NdpResponder implements Responder {
  readonly #card: NetDevice;
  readonly #announces: (address: IpAddress) => boolean;
  readonly #socket: PacketSocket;

  constructor(card: NetDevice, announces: (address: IpAddress) => boolean) {
    this.#card = card;
    this.#announces = announces;
    this.#socket = new PacketSocket(
      card,
      ETH_P_IPV6,
      "speaker",
      (frame) => this.#asked(frame),
      ({ ip }) => ip.payload instanceof NeighbourMessage,
    );
  }

  /** Listens to the group in which the address is asked for. */
  watch(address: IpAddress): void {
    if (typeof address === "number") return;
    this.#card.groups ??= new Set();
    this.#card.groups.add(solicitedNode(address));
  }

  unwatch(address: IpAddress): void {
    if (typeof address !== "number") this.#card.groups?.delete(solicitedNode(address));
  }

  gratuitous(address: IpAddress): void {
    if (typeof address === "number") return;
    this.#advertise(address, ALL_NODES, multicastMac(ALL_NODES), true);
  }

  close(): void {
    this.#socket.close();
  }

  /** A question without the asker's link-layer address is not answered, as by the real one. */
  #asked(frame: Skb): void {
    const { src, payload } = frame.ip;
    const message = payload as NeighbourMessage;
    const { type, target, linkLayerAddress } = message;
    if (type !== NDISC_NEIGHBOUR_SOLICITATION || linkLayerAddress === undefined) return;
    if (!this.#announces(target)) return;
    this.#advertise(target, src as Ipv6Address, linkLayerAddress, false, frame);
  }

  #advertise(
    target: Ipv6Address,
    to: Ipv6Address,
    mac: Mac,
    gratuitous: boolean,
    cause?: Skb,
  ): void {
    const from = this.#card.ipv6LinkLocal();
    if (from === undefined) return;
    const message = new NeighbourMessage(NDISC_NEIGHBOUR_ADVERTISEMENT, target, this.#card.mac);
    message.solicited = !gratuitous;
    message.override = gratuitous;
    const skb = Skb.ofIp(new IpPacket(from, to, IPPROTO_ICMPV6, message, 255), cause?.trace);
    skb.srcMac = this.#card.mac;
    skb.dstMac = mac;
    this.#socket.send(skb);
  }
}

/** ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1). */
function solicitedNode({ d }: Ipv6Address): Ipv6Address {
  return ipv6(0xff020000, 0, 1, 0xff000000 | (d & 0xffffff));
}
