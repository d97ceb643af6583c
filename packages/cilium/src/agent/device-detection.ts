import type { NetDevice, NetNamespace } from "@cnilab/linux";
import { type IpFamily, isLinkLocal, isLoopback } from "@cnilab/net";

/** Beginnings of names that are never the node's own way out (pkg/datapath/linux/devices_controller.go). */
const EXCLUDED = ["cilium_", "lo", "lxc", "cni", "docker"] as const;

/**
 * The node's devices that programs stand on: those with an address and a route that leads beyond the link, veths only with a default route;
 * or what the settings name (`isSelectedDevice`).
 */
export function selectDevices(netns: NetNamespace, patterns: readonly string[]): NetDevice[] {
  return netns.devices.filter((dev) =>
    patterns.length > 0 ? patterns.some((p) => matches(dev.name, p)) : isSelected(netns, dev),
  );
}

function matches(name: string, pattern: string): boolean {
  return pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

function isSelected(netns: NetNamespace, dev: NetDevice): boolean {
  if (!dev.up || dev.isLoopback || dev.bridgePort !== undefined || dev.kind === "bridge")
    return false;
  if (EXCLUDED.some((prefix) => dev.name.startsWith(prefix))) return false;
  if (dev.addresses4.length === 0 && dev.addresses6SoFar.length === 0) return false;
  return ([4, 6] as const).some((family) => hasRoute(netns, dev, family, dev.kind === "veth"));
}

function hasRoute(
  netns: NetNamespace,
  dev: NetDevice,
  family: IpFamily,
  isDefault: boolean,
): boolean {
  for (const { prefix, nexthops, type } of netns.fib(family).main.ownRoutes()) {
    if (type !== "unicast" || !nexthops.some((n) => n.dev === dev)) continue;
    if (isDefault ? prefix.length === 0 : !isLinkLocal(prefix.address)) return true;
  }
  return false;
}

/** The address of a device that others are to see: the first that is known beyond the link (`NodeAddress.Primary`). */
export function primaryAddress(dev: NetDevice, family: IpFamily): DeviceIp | undefined {
  return dev
    .addressesOf(family)
    .map((a) => a.address)
    .find((a) => !isLinkLocal(a) && !isLoopback(a));
}

type DeviceIp = ReturnType<NetDevice["addressesOf"]>[number]["address"];
