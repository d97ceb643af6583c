import { type IpAddress, Prefix } from "@cnilab/net";
import type { DeviceAddress } from "../device/interface-address.ts";
import type { NetDevice } from "../device/net-device.ts";
import {
  Nexthop,
  type RouteFields,
  type RouteScope,
  type RouteType,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
} from "./route.ts";

/** The routes that an IPv4 address brings while its device is up, its own before the others (`fib_add_ifaddr`). */
export function ipv4AddressRoutes(dev: NetDevice, a: DeviceAddress): RouteFields[] {
  const network = new Prefix(a.address, a.prefixLength);
  const primary = a.secondary
    ? dev.addresses4.find(
        (p) => !p.secondary && p.prefixLength === a.prefixLength && network.contains(p.address),
      )
    : a;
  const prefsrc = primary?.address ?? a.address;
  const routes = [localRoute(dev, a.address, prefsrc)];
  if (a.broadcast !== undefined && a.broadcast !== 0xffffffff) {
    routes.push(broadcastRoute(dev, a.broadcast, prefsrc));
  }
  if (
    network.address === 0 ||
    a.secondary ||
    (network.address === a.address && a.prefixLength === 32)
  ) {
    return routes;
  }
  if (!a.noPrefixRoute) routes.push(networkRoute(dev, network, prefsrc));
  if (a.prefixLength < 31) routes.push(broadcastRoute(dev, network.last, prefsrc));
  return routes;
}

function localRoute(dev: NetDevice, address: IpAddress, src: IpAddress): RouteFields {
  const prefix = Prefix.host(address);
  return kernelRoute(dev, prefix, RT_TABLE_LOCAL, "local", RT_SCOPE_HOST, RT_SCOPE_NOWHERE, src);
}

function broadcastRoute(dev: NetDevice, address: IpAddress, src: IpAddress): RouteFields {
  const prefix = Prefix.host(address);
  return kernelRoute(dev, prefix, RT_TABLE_LOCAL, "broadcast", RT_SCOPE_LINK, RT_SCOPE_HOST, src);
}

function networkRoute(dev: NetDevice, network: Prefix, src: IpAddress): RouteFields {
  return dev.isLoopback
    ? kernelRoute(dev, network, RT_TABLE_LOCAL, "local", RT_SCOPE_HOST, RT_SCOPE_NOWHERE, src)
    : kernelRoute(dev, network, RT_TABLE_MAIN, "unicast", RT_SCOPE_LINK, RT_SCOPE_HOST, src);
}

/** A route that the kernel makes by itself. */
export function kernelRoute(
  dev: NetDevice,
  prefix: Prefix,
  table: number,
  type: RouteType,
  scope: RouteScope,
  nexthopScope: RouteScope,
  prefsrc?: IpAddress,
): RouteFields {
  return {
    prefix,
    table,
    type,
    scope,
    protocol: "kernel",
    metric: 0,
    tos: 0,
    prefsrc,
    mtu: 0,
    advmss: 0,
    nexthops: [new Nexthop(dev, undefined, false, 1, nexthopScope)],
    origin: undefined,
  };
}
