import { type ArpPacket, ETHERNET_HEADER_LENGTH } from "@cnilab/net";
import { ignoresArp } from "../neighbour/arp.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";

/** One end of a virtual Ethernet cable. */
export class Veth extends NetDevice {
  readonly kind = "veth";
  /** The other end; set right after both are made. */
  #peer: Veth | undefined;

  private constructor(netns: NetNamespace, options: DeviceOptions) {
    super(netns, options);
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.carrier = false;
  }

  /** Two ends of one cable, each in a namespace of its own or both in the same. */
  static pair(
    netns: NetNamespace,
    options: DeviceOptions,
    peerNetns: NetNamespace,
    peerOptions: DeviceOptions,
  ): [Veth, Veth] {
    const peer = new Veth(peerNetns, peerOptions);
    let veth: Veth;
    try {
      veth = new Veth(netns, options);
    } catch (error) {
      peerNetns.unregister(peer);
      throw error;
    }
    veth.#peer = peer;
    peer.#peer = veth;
    return [veth, peer];
  }

  get peer(): Veth | undefined {
    return this.#peer;
  }

  override get peerDevice(): Veth | undefined {
    return this.#peer;
  }

  protected override stateChanged(): void {
    // veth_open, veth_close: there is a carrier while both ends are up.
    const carrier = this.up && this.#peer?.up === true;
    this.carrier = carrier;
    if (this.#peer === undefined) return;
    this.#peer.carrier = carrier;
    this.#peer.master?.portStateChanged();
  }

  /** Both ends go together. */
  override remove(): void {
    const peer = this.#peer;
    this.#peer = undefined;
    super.remove();
    if (peer !== undefined && peer.#peer !== undefined) {
      peer.#peer = undefined;
      peer.remove();
    }
  }

  override get startsIpv6Later(): boolean {
    return true;
  }

  override sendIgnored(skb: Skb): boolean {
    const peer = this.#peer;
    if (!skb.isArp || skb.trace !== undefined || this.tc !== undefined) return false;
    if (!this.up || peer?.up !== true || peer.tc !== undefined || peer.xdp !== undefined)
      return false;
    if (!ignoresArp(peer, skb.packet as ArpPacket)) return false;
    const bytes = skb.packet.length + ETHERNET_HEADER_LENGTH;
    this.txPackets++;
    this.txBytes += bytes;
    peer.rxPackets++;
    peer.rxBytes += bytes;
    return true;
  }

  protected transmit(skb: Skb): void {
    const peer = this.#peer;
    if (peer === undefined || !peer.up) {
      this.txDropped++;
      this.drop(skb, "NO_CARRIER", `the other end of ${this.name} is down`);
      return;
    }
    // __dev_forward_skb: too long a frame for the other end is lost without a word, but for what is yet to be cut.
    if (!skb.gso && skb.packet.length + ETHERNET_HEADER_LENGTH > peer.maxFrameLength) {
      peer.rxDropped++;
      skb.sendErrno ??= "ENOBUFS"; // NET_XMIT_DROP
      peer.drop(skb, "PKT_TOO_BIG", `frame longer than the MTU ${peer.mtu} of ${peer.name}`);
      return;
    }
    skb.scrub(peer.netns !== this.netns);
    peer.classify(skb);
    this.network.enqueue(peer, skb);
  }
}
