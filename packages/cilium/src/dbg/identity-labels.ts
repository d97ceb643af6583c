import type { ApiClient } from "@cnilab/core";
import type { CiliumIdentity } from "../api/v2/identity.ts";
import { RESERVED_LABELS } from "../identity/reserved-identities.ts";
import { fromSecurityLabels, printLabels } from "../labels/label-set.ts";
import type { IdentityLabels } from "./policy.ts";

/**
 * Labels by the API server's CiliumIdentity objects; those of identities that are a node's own by `local`, where somebody
 * knows them.
 */
export function identityLabels(api: ApiClient, local?: IdentityLabels): IdentityLabels {
  return (identity) => {
    const reserved = RESERVED_LABELS.get(identity);
    if (reserved !== undefined) return printLabels(reserved);
    const object = api.get("CiliumIdentity.cilium.io", String(identity)) as
      | CiliumIdentity
      | undefined;
    if (object !== undefined) return printLabels(fromSecurityLabels(object["security-labels"]));
    return local?.(identity) ?? [];
  };
}
