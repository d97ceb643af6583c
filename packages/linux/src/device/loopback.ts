import type { NetNamespace } from "../net-namespace.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import { NetDevice } from "./net-device.ts";

/** `lo`: every namespace has one, down at first. */
export class Loopback extends NetDevice {
  readonly kind = "";

  constructor(netns: NetNamespace) {
    super(netns, { name: "lo", mac: 0 }, 65536);
  }

  override get isLoopback(): boolean {
    return true;
  }

  override get isNetnsLocal(): boolean {
    return true;
  }

  override get noArp(): boolean {
    return true;
  }

  protected override ownFlags(): string[] {
    return ["LOOPBACK"];
  }

  override get startsIpv6Later(): boolean {
    return true;
  }

  /** What is sent is received at once, with its route (net/ipv4: `skb_dst_force` in loopback_xmit). */
  protected transmit(skb: Skb): void {
    skb.packetType = PACKET_HOST;
    this.network.enqueue(this, skb);
  }
}
