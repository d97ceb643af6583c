import { ETH_P_IP, ETH_P_IPV6, type IpPacket, type Ipv6Address, ipv6 } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";

/** A TUN device: IP packets that are sent go to a program, and what it writes is received. */
export class Tun extends NetDevice {
  readonly kind = "tun";
  /** The program; while there is none the device has no carrier. It owns the packet from then on. */
  #reader: ((packet: IpPacket, skb: Skb) => void) | undefined;

  #linkLocal: Ipv6Address | undefined;

  constructor(netns: NetNamespace, options: DeviceOptions) {
    super(netns, options);
    this.carrier = false;
  }

  override get isEthernet(): boolean {
    return false;
  }

  override get noArp(): boolean {
    return true;
  }

  /** Without a MAC it is random, but stays the same (`addrconf_add_linklocal`, mode `random`). */
  override ipv6LinkLocal(): Ipv6Address {
    const { random } = this.netns.kernel;
    this.#linkLocal ??= ipv6(0xfe800000, 0, random.uint32(), random.uint32());
    return this.#linkLocal;
  }

  protected override ownFlags(): string[] {
    return ["POINTOPOINT", "MULTICAST", "NOARP"];
  }

  /** A program opens the device, or closes it with `undefined`. */
  attach(reader: ((packet: IpPacket, skb: Skb) => void) | undefined): void {
    this.#reader = reader;
    this.carrier = reader !== undefined;
    this.network.touch();
  }

  /** The program writes a packet. */
  write(packet: IpPacket, trace: Trace | undefined, number?: number): void {
    const skb = new Skb(packet.version === 4 ? ETH_P_IP : ETH_P_IPV6, packet, undefined);
    skb.trace = trace;
    skb.number = number ?? trace?.nextNumber() ?? 0;
    this.network.enqueue(this, skb);
    this.network.run();
  }

  protected transmit(skb: Skb): void {
    if (this.#reader === undefined) {
      this.drop(skb, "TUN_NO_READER", `no program has ${this.name} open`);
      return;
    }
    if (!skb.isIp) {
      this.drop(skb, "UNHANDLED_PROTO", `${this.name} carries IP only`);
      return;
    }
    this.network.recording?.unrepeatable();
    this.#reader(skb.ip, skb);
  }
}
