import type { IpAddress, IpFamily, Ipv4Address, Ipv6Address, Prefix } from "@cnilab/net";

/** What a node tells the others of itself (pkg/lease/lease.go LeaseAttrs). */
export interface LeaseAttributes {
  readonly publicIp: Ipv4Address | undefined;
  readonly publicIpv6: Ipv6Address | undefined;
  /** Empty for udp and alloc, which leave it out. */
  readonly backendType: string;
  /** JSON; `null` where a backend has nothing to tell. */
  readonly backendData: string;
  readonly backendV6Data: string;
}

/** A pod range, and the node that has it. Immutable; the same lease is the same object. */
export interface Lease {
  readonly enableIPv4: boolean;
  readonly enableIPv6: boolean;
  readonly subnet: Prefix | undefined;
  readonly ipv6Subnet: Prefix | undefined;
  readonly attributes: LeaseAttributes;
}

/** One family's side of a lease. */
export interface LeaseSide {
  readonly subnet: Prefix;
  readonly publicIp: IpAddress;
  readonly data: string;
}

/** `undefined` where the lease does not serve the family, or says not enough to reach its node. */
export function sideOf(lease: Lease, family: IpFamily): LeaseSide | undefined {
  const { attributes: a } = lease;
  if (family === 4) {
    if (!lease.enableIPv4 || lease.subnet === undefined || a.publicIp === undefined)
      return undefined;
    return { subnet: lease.subnet, publicIp: a.publicIp, data: a.backendData };
  }
  if (!lease.enableIPv6 || lease.ipv6Subnet === undefined || a.publicIpv6 === undefined) {
    return undefined;
  }
  return { subnet: lease.ipv6Subnet, publicIp: a.publicIpv6, data: a.backendV6Data };
}

/** What makes two leases the same one to a watcher: the subnets of the families in use (sameSubnet). */
export function subnetKey(lease: Lease): string {
  const { enableIPv4, enableIPv6, subnet, ipv6Subnet } = lease;
  if (enableIPv4 && enableIPv6) return `${subnet}&${ipv6Subnet}`;
  return String(enableIPv6 ? ipv6Subnet : subnet);
}

/** Whether a lease is the node's own, which watchers leave out. */
export function isOwn(lease: Lease, own: Lease | undefined): boolean {
  if (own === undefined) return false;
  const same4 = lease.subnet !== undefined && own.subnet?.equals(lease.subnet) === true;
  const same6 = lease.ipv6Subnet !== undefined && own.ipv6Subnet?.equals(lease.ipv6Subnet) === true;
  if (lease.enableIPv4 && lease.enableIPv6) return same4 && same6;
  return lease.enableIPv6 ? same6 : same4;
}

export function sameLease(x: Lease, y: Lease): boolean {
  const a = x.attributes;
  const b = y.attributes;
  return (
    x.enableIPv4 === y.enableIPv4 &&
    x.enableIPv6 === y.enableIPv6 &&
    samePrefix(x.subnet, y.subnet) &&
    samePrefix(x.ipv6Subnet, y.ipv6Subnet) &&
    a.publicIp === b.publicIp &&
    a.publicIpv6 === b.publicIpv6 &&
    a.backendType === b.backendType &&
    a.backendData === b.backendData &&
    a.backendV6Data === b.backendV6Data
  );
}

function samePrefix(x: Prefix | undefined, y: Prefix | undefined): boolean {
  return x === y || (x !== undefined && y !== undefined && x.equals(y));
}
