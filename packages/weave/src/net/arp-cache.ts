import type { NetNamespace } from "@cnilab/linux";

/** Has a MAC that is another soon noticed: of a container that moved, say (net/arp.go configureARPCache). */
export function configureArpCache(netns: NetNamespace, device: string): void {
  for (const [name, value] of [
    ["base_reachable_time", 5],
    ["delay_first_probe_time", 2],
    ["ucast_solicit", 1],
  ] as const) {
    netns.sysctl.set(`net/ipv4/neigh/${device}/${name}`, value);
  }
}

/** Where IPv6 is off, or the MTU too small for it, there is nothing to set (net/arp.go sysctlIfExists). */
export function refuseRouterAdvertisements(netns: NetNamespace, device: string): void {
  if (netns.device(device).hasIpv6) netns.sysctl.set(`net/ipv6/conf/${device}/accept_ra`, 0);
}
