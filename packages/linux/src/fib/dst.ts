import type { IpAddress } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Nexthop, RouteType } from "./route.ts";

/** Where routing sends a packet (`struct rtable`). Immutable. */
export class Dst {
  readonly type: RouteType;
  /** The device it leaves by; the loopback device for this machine's own addresses. */
  readonly dev: NetDevice;
  /** The router it goes to; `undefined` for a destination on the link. */
  readonly gateway: IpAddress | undefined;
  /** The route behind it; `undefined` where none was needed. */
  readonly nexthop: Nexthop | undefined;

  constructor(
    type: RouteType,
    dev: NetDevice,
    gateway: IpAddress | undefined,
    nexthop: Nexthop | undefined,
  ) {
    this.type = type;
    this.dev = dev;
    this.gateway = gateway;
    this.nexthop = nexthop;
  }

  /** Whether the packet is for this machine. */
  get isLocal(): boolean {
    return this.type === "local";
  }

  /**
   * Bytes that a packet on this route may have, before path MTU discovery: the route's own MTU, even
   * where the device's is smaller (include/net/ip.h `ip_dst_mtu_maybe_forward`, `ip6_mtu`).
   */
  get mtu(): number {
    return this.nexthop?.route.mtu || this.dev.mtu;
  }
}
