import type { IpAddress } from "@cnilab/net";
import {
  IDENTITY_SCOPE,
  type NumericIdentity,
  RESERVED_IDENTITY,
  scopeOf,
} from "../../identity/numeric-identity.ts";
import type { BpfObject } from "./bpf-object.ts";

// What identities are to programs (bpf/lib/identity.h).

/** `identity_is_remote_node` */
export function isRemoteNode(identity: NumericIdentity): boolean {
  return (
    identity === RESERVED_IDENTITY.remoteNode ||
    identity === RESERVED_IDENTITY.kubeApiServer ||
    scopeOf(identity) === IDENTITY_SCOPE.remoteNode
  );
}

/** `identity_is_reserved`: none that endpoints have. */
export function isReserved(identity: NumericIdentity, { dualStack }: BpfObject): boolean {
  return (
    identity < RESERVED_IDENTITY.unmanaged ||
    isRemoteNode(identity) ||
    (dualStack &&
      (identity === RESERVED_IDENTITY.worldIpv4 || identity === RESERVED_IDENTITY.worldIpv6))
  );
}

/** `identity_is_world_ipv4`, `identity_is_world_ipv6` */
export function isWorldOf(address: IpAddress, identity: NumericIdentity, obj: BpfObject): boolean {
  return identity === RESERVED_IDENTITY.world || identity === worldOf(address, obj);
}

/** Who is behind an address that nobody knows (`WORLD_IPV4_ID`, `WORLD_IPV6_ID`). */
export function worldOf(address: IpAddress, obj: BpfObject): NumericIdentity {
  return typeof address === "number" ? obj.worldIpv4 : obj.worldIpv6;
}

/** `identity_is_cluster`: neither the world nor a range of its addresses. */
export function isCluster(identity: NumericIdentity, { dualStack }: BpfObject): boolean {
  if (identity === RESERVED_IDENTITY.world || scopeOf(identity) === IDENTITY_SCOPE.local) {
    return false;
  }
  return !(
    dualStack &&
    (identity === RESERVED_IDENTITY.worldIpv4 || identity === RESERVED_IDENTITY.worldIpv6)
  );
}

/** `get_tunnel_id`: the world is one on the wire. */
export function tunnelIdOf(identity: NumericIdentity, { dualStack }: BpfObject): number {
  const isWorld =
    identity === RESERVED_IDENTITY.worldIpv4 || identity === RESERVED_IDENTITY.worldIpv6;
  return dualStack && isWorld ? RESERVED_IDENTITY.world : identity;
}

/** `get_id_from_tunnel_id` */
export function identityOfTunnelId(
  tunnelId: number,
  address: IpAddress,
  obj: BpfObject,
): NumericIdentity {
  return tunnelId === RESERVED_IDENTITY.world ? worldOf(address, obj) : tunnelId;
}
