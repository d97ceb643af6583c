import type { Kind } from "@cnilab/core";
import type { ApiStore } from "./api/api-store.ts";
import type { ClusterNode } from "./cluster-node.ts";

/** One line for each kind of policy that is there and that no node enforces. */
export function unenforcedPolicies(
  api: ApiStore,
  nodes: ReadonlyMap<string, ClusterNode>,
): string[] {
  const enforced = new Set<Kind>();
  for (const { policy } of nodes.values())
    for (const kind of policy?.enforces ?? []) enforced.add(kind);
  const kinds = api.kinds.filter((kind) => kind.endsWith("NetworkPolicy") && !enforced.has(kind));
  return kinds.map((kind) => {
    const names = api
      .list(kind)
      .map(({ metadata }) =>
        metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`,
      );
    const shown = names.slice(0, 3).join(", ");
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    const verb = names.length === 1 ? "is" : "are";
    return `${kind} ${shown}${more} ${verb} not enforced: this CNI has no engine for it`;
  });
}
