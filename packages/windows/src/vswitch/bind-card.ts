import type { NetDevice, NetNamespace, RouteSpec } from "@cnilab/linux";
import { isLinkLocal } from "@cnilab/net";

/** Addresses and routes of one adapter become another's, as when a virtual switch is bound to a card. */
export function moveAddresses(netns: NetNamespace, from: NetDevice, to: NetDevice): void {
  const addresses = from.addresses.filter(({ address }) => !isLinkLocal(address));
  const routes = ([4, 6] as const).flatMap((family) => routesOf(netns, family, from, to));
  for (const { address, prefixLength } of addresses) from.removeAddress(address, prefixLength);
  to.setUp();
  for (const { address, prefixLength } of addresses) to.addAddress(address, prefixLength);
  for (const route of routes) netns.addRoute(route, "replace");
}

/** Routes that somebody added, as opposed to those that come with addresses. */
function routesOf(netns: NetNamespace, family: 4 | 6, from: NetDevice, to: NetDevice): RouteSpec[] {
  const fib = family === 4 ? netns.fib4 : netns.fib6IfUsed;
  return [...(fib?.main.ownRoutes() ?? [])]
    .filter((r) => r.nexthop.dev === from && r.protocol !== "kernel")
    .map(({ prefix, nexthop }) => ({
      dst: prefix,
      dev: to,
      ...(nexthop.gateway === undefined ? {} : { via: nexthop.gateway }),
      onlink: nexthop.onlink,
    }));
}
