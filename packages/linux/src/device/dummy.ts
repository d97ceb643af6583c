import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";

/** A device that swallows what is sent; it exists to hold addresses. */
export class Dummy extends NetDevice {
  readonly kind = "dummy";

  constructor(netns: NetNamespace, options: DeviceOptions) {
    super(netns, options);
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
  }

  override get noArp(): boolean {
    return true;
  }

  protected override ownFlags(): string[] {
    return ["BROADCAST", "NOARP"];
  }

  protected transmit(skb: Skb): void {
    this.drop(skb, "NOT_SPECIFIED", `${this.name} is a dummy device`);
  }
}
