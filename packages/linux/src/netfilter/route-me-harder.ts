import { IPV4_BROADCAST, type IpAddress, isLinkLocal, isMulticast } from "@cnilab/net";
import type { Dst } from "../fib/dst.ts";
import type { RouteErrno } from "../ip/route-input.ts";
import { routeOutput } from "../ip/route-output.ts";
import { dstPortOf, srcPortOf } from "../ip/transport.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { xfrmRoute } from "../xfrm/esp.ts";

/**
 * Routes a packet of this machine's own again, after a rule changed what its route was chosen by
 * (`ip_route_me_harder`, `ip6_route_me_harder`).
 * @returns the new route's refusal; the packet keeps its old route then
 */
export function routeMeHarder(skb: Skb, netns: NetNamespace): RouteErrno | undefined {
  const packet = skb.ip;
  const route = routeOutput(netns, {
    dst: packet.dst,
    src: usableSource(packet.src, netns),
    // A reset for a bridged packet has no route before.
    oif: needsLink(packet.dst) ? skb.dst?.dev : undefined,
    mark: skb.mark,
    tos: packet.version === 4 ? packet.tos & IPTOS_RT_MASK : packet.tos,
    protocol: packet.protocol,
    srcPort: srcPortOf(packet),
    dstPort: dstPortOf(packet),
    anySource: true,
  });
  if (typeof route === "string") {
    skb.sendErrno = route; // NF_DROP_ERR
    return route;
  }
  skb.dst = route.dst;
  xfrmRoute(skb, netns);
  if (skb.trace !== undefined) traceRoute(skb, netns, route.dst);
  return undefined;
}

/** The type-of-service bits that routing looks at (include/net/route.h). */
const IPTOS_RT_MASK = 0x1c;

/** Any unicast source will do; from a group or the broadcast address routing starts with none. */
function usableSource(src: IpAddress, netns: NetNamespace): IpAddress | undefined {
  if (typeof src !== "number") return src;
  if (src === 0 || src === IPV4_BROADCAST || isMulticast(src)) return undefined;
  return netns.fib4.addressType(src) === "broadcast" ? undefined : src;
}

/** Link-local and multicast IPv6 destinations mean something on one link only. */
function needsLink(dst: IpAddress): boolean {
  return typeof dst !== "number" && (isMulticast(dst) || isLinkLocal(dst));
}

function traceRoute(skb: Skb, netns: NetNamespace, dst: Dst): void {
  const nexthop = dst.nexthop;
  const step = { kind: "route", netns, packet: skb.number, direction: "output" } as const;
  skb.trace?.steps.push({ ...step, dst: skb.ip.dst, route: nexthop?.route, nexthop });
}
