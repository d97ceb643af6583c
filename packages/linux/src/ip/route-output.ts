import {
  familyOf,
  IPV4_BROADCAST,
  type IpAddress,
  type IpPacket,
  isLinkLocal,
  isLoopback,
  isMulticast,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { Dst } from "../fib/dst.ts";
import type { Flow } from "../fib/fib-rule.ts";
import { RT_SCOPE_HOST, RT_SCOPE_LINK } from "../fib/route.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { cachedDst, type RouteErrno, refusalOf } from "./route-input.ts";
import { selectAddress, selectIpv6Address } from "./source-address.ts";

export interface OutputFlow {
  readonly dst: IpAddress;
  /** Chosen by the route where it is absent. */
  readonly src?: IpAddress | undefined;
  readonly oif?: NetDevice | undefined;
  readonly mark?: number;
  readonly tos?: number;
  readonly protocol?: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** What the packet to be routed is an error about: it goes the way of that flow. */
  readonly about?: IpPacket;
  /** The source need not be an address of this machine (`FLOWI_FLAG_ANYSRC`). */
  readonly anySource?: boolean;
}

export interface OutputRoute {
  readonly dst: Dst;
  readonly src: IpAddress;
}

/** Routes a packet of this machine's own (`ip_route_output_key`, `ip6_route_output`). */
export function routeOutput(netns: NetNamespace, flow: OutputFlow): OutputRoute | RouteErrno {
  return typeof flow.dst === "number"
    ? routeOutput4(netns, flow, flow.dst)
    : routeOutput6(netns, flow);
}

/**
 * Routes a connected socket's packets. An IPv4 source that the route chose goes into a second look-up,
 * where rules see it (`ip_route_connect`); IPv6 keeps what the first one found (`ip6_dst_lookup_tail`).
 */
export function routeConnect(netns: NetNamespace, flow: OutputFlow): OutputRoute | RouteErrno {
  const first = routeOutput(netns, flow);
  if (typeof first === "string" || flow.src !== undefined || typeof flow.dst !== "number") {
    return first;
  }
  return routeOutput(netns, { ...flow, src: first.src });
}

function fullFlow(flow: OutputFlow): Flow {
  return {
    dst: flow.dst,
    src: flow.src,
    iif: undefined,
    oif: flow.oif,
    mark: flow.mark ?? 0,
    tos: flow.tos ?? 0,
    protocol: flow.protocol ?? 0,
    srcPort: flow.srcPort ?? 0,
    dstPort: flow.dstPort ?? 0,
    packet: flow.about,
  };
}

function routeOutput4(
  netns: NetNamespace,
  flow: OutputFlow,
  dst: number,
): OutputRoute | RouteErrno {
  const src = flow.src as number | undefined;
  let oif = flow.oif;
  const group = isMulticast(dst) || dst === IPV4_BROADCAST;
  if (src !== undefined) {
    if (isMulticast(src) || src === IPV4_BROADCAST || src >>> 24 === 0) return "EINVAL";
    if (!flow.anySource && !netns.isLocalAddress(src)) return "ENETUNREACH";
    // A source chooses the device for multicast and the limited broadcast.
    if (oif === undefined && group) oif = netns.deviceWithAddress(src);
  }
  if (oif !== undefined && !oif.up) return "ENETUNREACH";
  if (oif !== undefined && (dst === IPV4_BROADCAST || dst >>> 8 === 0xe00000)) {
    const type = dst === IPV4_BROADCAST ? "broadcast" : "multicast";
    return {
      dst: new Dst(type, oif, undefined, undefined),
      src: src ?? selectAddress(oif, undefined, RT_SCOPE_LINK) ?? 0,
    };
  }
  if (dst >>> 24 === 0) return "EINVAL";
  const nexthop = netns.fib4.lookup({ ...fullFlow(flow), oif });
  const refused = nexthop === undefined ? "ENETUNREACH" : refusalOf(nexthop);
  if (nexthop === undefined || refused !== undefined) {
    if (oif === undefined) return refused as RouteErrno;
    // With a device given, the destination is assumed to be on its link, also where a route refuses it.
    return {
      dst: new Dst(group ? "multicast" : "unicast", oif, undefined, undefined),
      src: src ?? selectAddress(oif, undefined, RT_SCOPE_LINK) ?? 0,
    };
  }
  const route = nexthop.route;
  if (route.type === "local") {
    return {
      dst: cachedDst(nexthop, netns),
      src: src ?? (route.prefsrc as number | undefined) ?? dst,
    };
  }
  const dev = nexthop.dev as NetDevice;
  const chosen =
    src ??
    (route.prefsrc as number | undefined) ??
    selectAddress(dev, nexthop.gateway as number | undefined, route.scope) ??
    0;
  if (
    isLoopback(chosen) &&
    dev.conf4.route_localnet === 0 &&
    netns.sysctl.conf4All.route_localnet === 0 &&
    !dev.isLoopback
  ) {
    return "EINVAL";
  }
  if (isMulticast(dst)) {
    const gateway = route.prefix.length < 4 ? undefined : nexthop.gateway;
    return { dst: new Dst("multicast", dev, gateway, nexthop), src: chosen };
  }
  return { dst: cachedDst(nexthop, netns), src: chosen };
}

function routeOutput6(netns: NetNamespace, flow: OutputFlow): OutputRoute | RouteErrno {
  const { dst, src, oif } = flow;
  if (familyOf(dst) !== 6 || typeof dst === "number") return "EINVAL";
  if (isMulticast(dst)) {
    if (oif === undefined) return "ENETUNREACH";
    const source = src ?? selectIpv6Address(netns, oif, dst);
    return source === undefined
      ? "EINVAL"
      : { dst: new Dst("multicast", oif, undefined, undefined), src: source };
  }
  // A link-local address means nothing without its link.
  if (isLinkLocal(dst) && oif === undefined && !netns.isLocalAddress(dst)) return "EINVAL";
  // A device binds the look-up only where there is no source yet (ip6_route_output_flags).
  const preferred = oif !== undefined && src !== undefined && !isLinkLocal(dst);
  const full = fullFlow(flow);
  const nexthop = netns.fib6.lookup(preferred ? { ...full, oifPreferred: true } : full);
  const refused = nexthop === undefined ? "ENETUNREACH" : refusalOf(nexthop);
  if (nexthop === undefined || refused !== undefined) {
    // Where there is no way without a source, there may be one with it (ip6_dst_lookup_tail).
    const guess = src === undefined ? selectIpv6Address(netns, undefined, dst) : undefined;
    return guess === undefined
      ? (refused as RouteErrno)
      : routeOutput6(netns, { ...flow, src: guess });
  }
  const route = nexthop.route;
  const local = route.type === "local" || route.type === "anycast";
  const source = src ?? route.prefsrc ?? (local ? dst : selectIpv6Address(netns, nexthop.dev, dst));
  if (source === undefined) return "EHOSTUNREACH";
  return { dst: cachedDst(nexthop, netns), src: source };
}

/** Scope that an address has when nobody says: host for loopback addresses, else global. */
export function defaultScope(address: IpAddress): 0 | typeof RT_SCOPE_HOST | typeof RT_SCOPE_LINK {
  if (isLoopback(address)) return RT_SCOPE_HOST;
  return typeof address !== "number" && isLinkLocal(address) ? RT_SCOPE_LINK : 0;
}
