import type { NetNamespace } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";

/** Families that a namespace has an address of beside its loopback, IPv4 first. */
export function familiesOf(netns: NetNamespace): IpFamily[] {
  return ([4, 6] as const).filter((family) =>
    netns.devices.some((dev) => !dev.isLoopback && dev.addressesOf(family).length > 0),
  );
}
