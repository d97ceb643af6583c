import { ARP_REQUEST, type ArpPacket } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";
import type { Segment } from "./segment.ts";

/** A network card, plugged into a segment. */
export class Nic extends NetDevice {
  readonly kind = "";
  readonly segment: Segment;

  constructor(netns: NetNamespace, options: DeviceOptions & { readonly segment: Segment }) {
    super(netns, options);
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.segment = options.segment;
    this.segment.plug(this);
  }

  override remove(): void {
    super.remove();
    this.segment.unplug(this);
  }

  override setMac(mac: number): void {
    const old = this.mac;
    super.setMac(mac);
    this.segment.macChanged(this, old);
  }

  /** Takes the cable out, or puts it in again. */
  setCarrier(carrier: boolean): void {
    this.carrier = carrier;
    this.network.touch();
  }

  protected transmit(skb: Skb): void {
    if (!this.carrier) {
      this.drop(skb, "LINK_DOWN", `the cable of ${this.netns}/${this.name} is out`);
      return;
    }
    this.segment.carry(this, skb);
  }

  /**
   * Whether a flooded frame can have any effect here. An ARP question for somebody else has none on a
   * plain machine; on a segment of thousands nearly all of them are such.
   */
  wants(skb: Skb): boolean {
    if (!this.up || !this.carrier) return false;
    if (!skb.isArp || this.receiveHandler !== undefined || this.tc !== undefined) return true;
    const arp = skb.packet as ArpPacket;
    if (arp.op !== ARP_REQUEST) return true;
    const { conf4All } = this.netns.sysctl;
    return (
      this.netns.isLocalAddress(arp.targetIp) ||
      conf4All.proxy_arp !== 0 ||
      this.conf4.proxy_arp !== 0 ||
      this.conf4.proxy_arp_pvlan !== 0 ||
      Math.max(conf4All.arp_accept, this.conf4.arp_accept) !== 0 ||
      (this.neighbours !== undefined &&
        (this.neighbours.proxies.size > 0 || this.neighbours.get(arp.senderIp) !== undefined))
    );
  }
}
