import type { HostEndpoint, HostEndpointId } from "../calc/messages.ts";

/** A device of the node that is no workload's, and its addresses. */
export type HostInterfaces = ReadonlyMap<string, readonly string[]>;

/** Stands for a host endpoint of all interfaces. */
export const WILDCARD = "*";

/** With the name of the object that it is made of. */
export type ResolvedHostEndpoint = HostEndpoint & HostEndpointId;

/**
 * Which host endpoint governs an interface: the one that names it or one of its addresses, and of several the first by name
 * (`felix/dataplane/linux/endpoint_mgr.go` resolveHostEndpoints). One for all interfaces is at {@link WILDCARD}.
 */
export function resolveHostEndpoints(
  endpoints: ReadonlyMap<string, HostEndpoint>,
  interfaces: HostInterfaces,
): ReadonlyMap<string, ResolvedHostEndpoint> {
  const ordered = [...endpoints]
    .sort(([x], [y]) => (x < y ? -1 : 1))
    .map(([endpointId, each]): ResolvedHostEndpoint => ({ ...each, endpointId }));
  const resolved = new Map<string, ResolvedHostEndpoint>();
  for (const [name, addresses] of interfaces) {
    const found = ordered.find((each) =>
      each.name === ""
        ? [...each.expectedIpv4Addrs, ...each.expectedIpv6Addrs].some((wanted) =>
            addresses.includes(wanted),
          )
        : each.name === name,
    );
    if (found !== undefined) resolved.set(name, found);
  }
  const wildcard = ordered.find(({ name }) => name === WILDCARD);
  if (wildcard !== undefined) resolved.set(WILDCARD, wildcard);
  return resolved;
}
