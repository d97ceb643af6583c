import { type LabelSet, sameLabels } from "../labels/label-set.ts";
import { type ReservedLabel, reservedLabel } from "../labels/reserved-labels.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "./numeric-identity.ts";

/** Labels of each reserved identity (pkg/identity/reserved.go, pkg/identity/identity.go). */
export const RESERVED_LABELS: ReadonlyMap<NumericIdentity, LabelSet> = new Map([
  [RESERVED_IDENTITY.unknown, labels("unknown")],
  [RESERVED_IDENTITY.host, labels("host")],
  [RESERVED_IDENTITY.world, labels("world")],
  [RESERVED_IDENTITY.unmanaged, labels("unmanaged")],
  [RESERVED_IDENTITY.health, labels("health")],
  [RESERVED_IDENTITY.init, labels("init")],
  [RESERVED_IDENTITY.remoteNode, labels("remote-node")],
  [RESERVED_IDENTITY.kubeApiServer, labels("kube-apiserver", "remote-node")],
  [RESERVED_IDENTITY.ingress, labels("ingress")],
  [RESERVED_IDENTITY.worldIpv4, labels("world-ipv4")],
  [RESERVED_IDENTITY.worldIpv6, labels("world-ipv6")],
  [RESERVED_IDENTITY.encryptedOverlay, labels("overlay-to-encrypt")],
]);

function labels(...names: readonly ReservedLabel[]): LabelSet {
  return names.map(reservedLabel);
}

/** What `cidr`, `identity get` and flows call a reserved identity. */
export const RESERVED_NAMES: ReadonlyMap<NumericIdentity, ReservedLabel> = new Map([
  [RESERVED_IDENTITY.unknown, "unknown"],
  [RESERVED_IDENTITY.host, "host"],
  [RESERVED_IDENTITY.world, "world"],
  [RESERVED_IDENTITY.unmanaged, "unmanaged"],
  [RESERVED_IDENTITY.health, "health"],
  [RESERVED_IDENTITY.init, "init"],
  [RESERVED_IDENTITY.remoteNode, "remote-node"],
  [RESERVED_IDENTITY.kubeApiServer, "kube-apiserver"],
  [RESERVED_IDENTITY.ingress, "ingress"],
  [RESERVED_IDENTITY.worldIpv4, "world-ipv4"],
  [RESERVED_IDENTITY.worldIpv6, "world-ipv6"],
  [RESERVED_IDENTITY.encryptedOverlay, "overlay-to-encrypt"],
]);

/** The identity that needs no allocation, as the labels are those of a reserved one. */
export function reservedIdentityOf(of: LabelSet): NumericIdentity | undefined {
  for (const [identity, reserved] of RESERVED_LABELS) {
    if (sameLabels(of, reserved)) return identity;
  }
  return undefined;
}
