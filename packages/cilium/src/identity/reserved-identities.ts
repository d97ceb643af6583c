import { LABEL_SOURCE } from "../labels/label.ts";
import type { LabelSet } from "../labels/label-set.ts";
import { isReserved, type ReservedLabel, reservedLabel } from "../labels/reserved-labels.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "./numeric-identity.ts";

/** What flows and tables call a reserved identity (pkg/identity/numericidentity.go reservedIdentityNames). */
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

/** Labels of each reserved identity: its name, and of a node that serves the API, that it is one. */
export const RESERVED_LABELS: ReadonlyMap<NumericIdentity, LabelSet> = new Map(
  [...RESERVED_NAMES].map(([identity, name]) => [
    identity,
    identity === RESERVED_IDENTITY.kubeApiServer
      ? [reservedLabel(name), reservedLabel("remote-node")]
      : [reservedLabel(name)],
  ]),
);

const NUMBERS: ReadonlyMap<string, NumericIdentity> = new Map(
  [...RESERVED_NAMES].map(([identity, name]) => [name, identity]),
);

/**
 * The identity that needs no allocation (pkg/identity/identity.go LookupReservedIdentityByLabels).
 * @param perNode whether other nodes have identities of their own, as labels of nodes or ranges that match nodes ask for
 */
export function reservedIdentityOf(labels: LabelSet, perNode = false): NumericIdentity | undefined {
  if (!labels.some(({ source }) => source === LABEL_SOURCE.reserved)) return undefined;
  if (isReserved(labels, "host")) return RESERVED_IDENTITY.host;
  if (isReserved(labels, "remote-node")) {
    if (perNode) return undefined;
    return isReserved(labels, "kube-apiserver")
      ? RESERVED_IDENTITY.kubeApiServer
      : RESERVED_IDENTITY.remoteNode;
  }
  const [only] = labels;
  if (labels.length !== 1 || only === undefined) return undefined;
  return NUMBERS.get(only.key) || undefined;
}
