import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";

/** An intermediate functional block: mirred redirects packets through it so that they can be shaped. */
export class Ifb extends NetDevice {
  readonly kind = "ifb";

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

  /** Whatever is sent by hand rather than redirected is lost (`ifb_xmit`). */
  protected transmit(skb: Skb): void {
    this.drop(skb, "QDISC_DROP", `${this.name} takes redirected packets only`);
  }
}
