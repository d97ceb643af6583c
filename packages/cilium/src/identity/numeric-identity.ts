/** A number that stands for a set of labels (pkg/identity/numericidentity.go). */
export type NumericIdentity = number;

/** Numbers that are no pod's labels. */
export const RESERVED_IDENTITY = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  remoteNode: 6,
  kubeApiServer: 7,
  ingress: 8,
  worldIpv4: 9,
  worldIpv6: 10,
  encryptedOverlay: 11,
} as const;

/** Bits 24 and 25 say how far an identity is known. */
export const IDENTITY_SCOPE = {
  /** In the cluster, and in those meshed with it. */
  global: 0,
  /** On one node alone: ranges of addresses and names of DNS. */
  local: 0x01000000,
  /** On one node alone: other nodes. */
  remoteNode: 0x02000000,
} as const;

export type IdentityScope = (typeof IDENTITY_SCOPE)[keyof typeof IDENTITY_SCOPE];

const SCOPE_MASK = 0xff000000;
/** The first one after those reserved, in a cluster without a number. */
export const MINIMAL_ALLOCATION_IDENTITY = 256;
/** Numbers of {@link IDENTITY_SCOPE}.local and of remoteNode start at 1. */
export const MAX_LOCAL_IDENTITY = 0x00ffffff;

export function scopeOf(identity: NumericIdentity): IdentityScope {
  const scope = (identity & SCOPE_MASK) >>> 0;
  return scope === IDENTITY_SCOPE.local || scope === IDENTITY_SCOPE.remoteNode
    ? scope
    : IDENTITY_SCOPE.global;
}

export function isReservedIdentity(identity: NumericIdentity): boolean {
  return identity <= RESERVED_IDENTITY.encryptedOverlay;
}

export function isWorld(identity: NumericIdentity): boolean {
  return (
    identity === RESERVED_IDENTITY.world ||
    identity === RESERVED_IDENTITY.worldIpv4 ||
    identity === RESERVED_IDENTITY.worldIpv6
  );
}

/** From the least to the greatest, ends included. */
export interface IdentityRange {
  readonly least: NumericIdentity;
  readonly most: NumericIdentity;
}

/** Which a cluster may give to pods. @param maxConnectedClusters 255, or 511 and then half as many for each */
export function identityRange(
  clusterId: number,
  maxConnectedClusters: 255 | 511 = 255,
): IdentityRange {
  const shift = maxConnectedClusters === 255 ? 16 : 15;
  const first = clusterId << shift;
  return {
    least: clusterId === 0 ? MINIMAL_ALLOCATION_IDENTITY : first,
    most: first + (1 << shift) - 1,
  };
}
