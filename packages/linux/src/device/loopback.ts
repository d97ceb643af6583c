import type { IpFamily } from "@cnilab/net";
import { allowsIpv6 } from "../ip/address.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import { type DeviceAddress, LOOPBACK_ADDRESS6 } from "./interface-address.ts";
import { NetDevice } from "./net-device.ts";

const LOOPBACK_ADDRESSES6: readonly DeviceAddress[] = [LOOPBACK_ADDRESS6];

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

  /** The CNI plugin asks for both families in every pod: what IPv6's start would bring is known. */
  override addressesOf(family: IpFamily): readonly DeviceAddress[] {
    const waits = family === 6 && this.netns.ipv6Waits(this);
    if (waits && this.addresses6SoFar.length === 0 && allowsIpv6(this)) return LOOPBACK_ADDRESSES6;
    return super.addressesOf(family);
  }

  /** What is sent is received at once, with its route (net/ipv4: `skb_dst_force` in loopback_xmit). */
  protected transmit(skb: Skb): void {
    skb.packetType = PACKET_HOST;
    this.network.enqueue(this, skb);
  }
}
