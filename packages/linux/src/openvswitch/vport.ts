import type { TunnelKey } from "../bpf/skb-bpf.ts";
import type { NetDevice, ReceiveHandler } from "../device/net-device.ts";
import type { Skb } from "../skb.ts";
import type { Datapath } from "./datapath.ts";

/** `OVS_VPORT_TYPE_*`. */
export type VportType = "netdev" | "internal" | "vxlan";

/** A port of a datapath (net/openvswitch/vport.h). */
export class Vport implements ReceiveHandler {
  readonly datapath: Datapath;
  readonly number: number;
  readonly type: VportType;
  readonly dev: NetDevice;

  constructor(datapath: Datapath, number: number, type: VportType, dev: NetDevice) {
    this.datapath = datapath;
    this.number = number;
    this.type = type;
    this.dev = dev;
  }

  get name(): string {
    return this.dev.name;
  }

  /** `netdev_frame_hook`. */
  handle(_dev: NetDevice, skb: Skb, tunnel: TunnelKey | undefined): boolean {
    this.datapath.receive(this, skb, tunnel);
    return true;
  }

  deviceRemoved(): void {
    this.datapath.deviceRemoved(this);
  }
}

/** The port of a datapath that a device is, if it is one. Internal devices are ports without being asked what they receive. */
export function vportOf(dev: NetDevice): Vport | undefined {
  return dev.receiveHandler instanceof Vport ? dev.receiveHandler : undefined;
}
