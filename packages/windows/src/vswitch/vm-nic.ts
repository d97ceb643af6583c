import { type DeviceOptions, NetDevice, type NetNamespace, type Skb } from "@cnilab/linux";
import type { VfpPort } from "../vfp/vfp-port.ts";

/** The switch that a vNIC is plugged into. */
export interface FrameSwitch {
  /** A frame leaves the machine behind a vNIC. */
  fromNic(nic: VmNic, skb: Skb): void;
}

export interface VmNicOptions extends DeviceOptions {
  readonly vswitch: FrameSwitch;
  /** Where it is plugged in. */
  readonly port: VfpPort;
}

/** A virtual network adapter, `vEthernet (…)`: of the host, or of a container in its own compartment. */
export class VmNic extends NetDevice {
  readonly kind = "";
  readonly port: VfpPort;
  readonly #vswitch: FrameSwitch;

  constructor(netns: NetNamespace, options: VmNicOptions) {
    super(netns, options);
    this.port = options.port;
    this.#vswitch = options.vswitch;
  }

  /** Whether it is a vNIC of the host itself, as opposed to a container's. */
  get isHost(): boolean {
    return this.port.isHost;
  }

  override get startsIpv6Later(): boolean {
    return true;
  }

  protected transmit(skb: Skb): void {
    skb.scrub(true);
    this.#vswitch.fromNic(this, skb);
  }

  /** A frame reaches the machine behind it. */
  deliver(skb: Skb): void {
    this.classify(skb);
    this.network.enqueue(this, skb);
  }
}
