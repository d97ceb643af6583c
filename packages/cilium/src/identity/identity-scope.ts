import { LABEL_SOURCE } from "../labels/label.ts";
import type { LabelSet } from "../labels/label-set.ts";
import { isReserved } from "../labels/reserved-labels.ts";
import { IDENTITY_SCOPE, type IdentityScope } from "./numeric-identity.ts";

const LOCAL_SOURCES: readonly string[] = [
  LABEL_SOURCE.cidr,
  LABEL_SOURCE.fqdn,
  LABEL_SOURCE.reserved,
  LABEL_SOURCE.cidrGroup,
];

/** How far an identity of these labels is known, if it is not a reserved one (pkg/identity/identity.go ScopeForLabels). */
export function scopeOfLabels(labels: LabelSet): IdentityScope {
  if (isReserved(labels, "remote-node")) return IDENTITY_SCOPE.remoteNode;
  const hasReserved = labels.some(({ source }) => source === LABEL_SOURCE.reserved);
  if (hasReserved && isReserved(labels, "ingress")) return IDENTITY_SCOPE.local;
  return labels.length > 0 && labels.every(({ source }) => LOCAL_SOURCES.includes(source))
    ? IDENTITY_SCOPE.local
    : IDENTITY_SCOPE.global;
}
