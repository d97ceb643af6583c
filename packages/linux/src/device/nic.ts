import type { ArpPacket } from "@cnilab/net";
import { ignoresArp } from "../neighbour/arp.ts";
import type { Neighbour } from "../neighbour/neighbour.ts";
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
    skb.gso = false; // the hardware cuts it
    this.segment.carry(this, skb);
  }

  override neighbourNoted(neighbour: Neighbour, isGone: boolean): void {
    this.segment.arpAudience.noted(this, neighbour, isGone);
  }

  /** Whether a flooded frame can have any effect here. */
  wants(skb: Skb): boolean {
    if (!this.up || !this.carrier) return false;
    if (this.xdp !== undefined) return true;
    return !skb.isArp || !ignoresArp(this, skb.packet as ArpPacket);
  }
}
