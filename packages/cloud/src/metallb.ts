import type { EndpointSlice, Service } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress } from "@cnilab/net";
import type { ProviderEvents } from "./load-balancer-controller.ts";

const SERVICE_NAME = "kubernetes.io/service-name";

export function byService(slices: Iterable<EndpointSlice>): Map<string, EndpointSlice[]> {
  const grouped = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const { namespace, labels } = slice.metadata;
    const key = `${namespace}/${labels?.[SERVICE_NAME]}`;
    const known = grouped.get(key);
    if (known === undefined) grouped.set(key, [slice]);
    else known.push(slice);
  }
  return grouped;
}

/** The words of MetalLB's controller. */
export const METALLB: ProviderEvents = {
  ensuring: undefined,
  ensured: (addresses) => [
    "IPAllocated",
    `Assigned IP [${addresses.map((a) => `"${formatIp(a)}"`).join(" ")}]`,
  ],
  failed: (key, why) => ["AllocationFailed", `Failed to allocate IP for "${key}": ${why}`],
  deleting: undefined,
  deleted: undefined,
};

/** The nodes' router lets connections of the world to the address in. */
export function openRouter(router: Kernel, { metadata }: Service, address: IpAddress): void {
  const iptables = router.initNs.iptables(familyOf(address));
  if (iptables.check("filter", "FORWARD", opening(address))) return;
  const { namespace = "default", name } = metadata;
  const origin = { kind: "Service", namespace, name, detail: "load balancer" };
  iptables.insert("filter", "FORWARD", opening(address), 1, origin);
}

export function closeRouter(router: Kernel, address: IpAddress): void {
  const iptables = router.initNs.iptables(familyOf(address));
  if (iptables.check("filter", "FORWARD", opening(address))) {
    iptables.delete("filter", "FORWARD", opening(address));
  }
}

function opening(address: IpAddress): string {
  return `-d ${formatIp(address)} -j ACCEPT`;
}
