import { type DeviceOptions, NetDevice } from "../device/net-device.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";

/** The machine's own end of a datapath's port (net/openvswitch/vport-internal_dev.c): the datapath's local port is one. */
export class OvsInternalDevice extends NetDevice {
  readonly kind = "openvswitch";
  /** The datapath takes what the machine sends. */
  readonly #xmit: (skb: Skb) => void;

  constructor(netns: NetNamespace, options: DeviceOptions, xmit: (skb: Skb) => void) {
    super(netns, options);
    if (options.mac === undefined) this.mac = netns.kernel.randomMac();
    this.#xmit = xmit;
  }

  override get isNetnsLocal(): boolean {
    return true;
  }

  protected transmit(skb: Skb): void {
    skb.iif = undefined;
    this.#xmit(skb);
  }

  /** The datapath brings the machine a frame (`internal_dev_recv`). */
  bringIn(skb: Skb): void {
    if (!this.up) {
      this.rxDropped++;
      this.drop(skb, "DEV_READY", `${this.name} is down`);
      return;
    }
    skb.dst = undefined;
    skb.bpf = undefined;
    skb.ct = undefined;
    skb.ctInfo = 0;
    skb.packetType = PACKET_HOST;
    this.classify(skb);
    this.network.enqueue(this, skb);
  }
}
