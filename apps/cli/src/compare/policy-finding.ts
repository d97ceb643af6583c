import { type Cluster, enforcedKinds } from "@cnilab/cluster";
import { isPolicyKind, type Kind } from "@cnilab/core";
import type { PolicyFinding } from "./finding.ts";

/** How many policies of the input are there, and how many of kinds that some node enforces and nobody refuses. */
export function policyFinding({ api, nodes }: Cluster): PolicyFinding {
  const enforced = enforcedKinds(nodes);
  const refused = new Set([...nodes.values()].flatMap(({ policy }) => policy?.refuses ?? []));
  const kinds = api.kinds.filter(isPolicyKind);
  const count = (of: readonly Kind[]) => of.reduce((sum, kind) => sum + api.count(kind), 0);
  const idle = kinds.filter((kind) => !enforced.has(kind) && api.count(kind) > 0);
  return {
    total: count(kinds),
    inEffect: count(kinds) - count(idle) - refused.size,
    refused: [...refused].sort(),
    idleKinds: idle.map((kind) => kind.split(".")[0] as string),
  };
}
