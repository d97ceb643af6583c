import { type CniModel, isPolicyKind, type Kind, kindOf } from "@cnilab/core";
import type { ApiStore } from "./api/api-store.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { kindText } from "./manifest/parse-manifests.ts";

/** Kinds of policy that some node enforces. */
export function enforcedKinds(nodes: ReadonlyMap<string, ClusterNode>): Set<Kind> {
  return new Set([...nodes.values()].flatMap(({ policy }) => policy?.enforces ?? []));
}

/** One line for each kind of policy that is there and that no node enforces. */
export function unenforcedPolicies(
  api: ApiStore,
  nodes: ReadonlyMap<string, ClusterNode>,
): string[] {
  const enforced = enforcedKinds(nodes);
  const kinds = api.kinds.filter((kind) => isPolicyKind(kind) && !enforced.has(kind));
  return kinds.map((kind) => {
    const names = api
      .list(kind)
      .map(({ metadata }) =>
        metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`,
      );
    const shown = names.slice(0, 3).join(", ");
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    const verb = names.length === 1 ? "is" : "are";
    const why = api.resources.get(kind)?.notEnforced ?? "this CNI has no engine for it";
    return `${kindText(kind)} ${shown}${more} ${verb} not enforced: ${why}`;
  });
}

/** One line for all kinds beside policies that are there and that this CNI does not bring. */
export function unreadResources(api: ApiStore, cni: CniModel | undefined): string[] {
  const own = new Set(
    (cni?.resources ?? []).map(({ group, version, kind }) =>
      kindOf({ apiVersion: `${group}/${version}`, kind }),
    ),
  );
  const unread = api.kinds.filter(
    (kind) => api.resources.get(kind) !== undefined && !own.has(kind) && !isPolicyKind(kind),
  );
  if (unread.length === 0) return [];
  const counted = unread.map((kind) => {
    const count = api.count(kind);
    return count > 1 ? `${kindText(kind)} (${count})` : kindText(kind);
  });
  return [`nobody reads ${counted.join(", ")}: ${cni?.name ?? "this cluster"} has no such kinds`];
}
