import { type CniModel, isPolicyKind } from "@cnilab/core";
import type { ApiStore } from "./api/api-store.ts";
import type { ClusterNode } from "./cluster-node.ts";

/** What a person should know of nodes that cannot do what the others do. */
export function nodeWarnings(
  api: ApiStore,
  nodes: ReadonlyMap<string, ClusterNode>,
  cni: CniModel | undefined,
): string[] {
  const all = [...nodes.values()];
  const told = new Set(
    all.flatMap(({ agents }) => agents.flatMap(({ warnings = [] }) => [...warnings])),
  );
  return [...windowsWarnings(api, nodes, cni), ...all.flatMap(problems), ...told];
}

/** Agents that know why their node is not ready. */
function problems({ name, agents, ready }: ClusterNode): string[] {
  if (ready) return [];
  return agents.flatMap((agent) =>
    agent.problem === undefined ? [] : [`${name} is NotReady: ${agent.name}: ${agent.problem}`],
  );
}

function windowsWarnings(
  api: ApiStore,
  nodes: ReadonlyMap<string, ClusterNode>,
  cni: CniModel | undefined,
): string[] {
  const windows = [...nodes.values()].filter(({ machine }) => machine.os === "windows");
  if (windows.length === 0) return [];
  const which = windows.map(({ name }) => name).join(", ");
  const are = windows.length === 1 ? "is" : "are";
  if (cni !== undefined && !cni.operatingSystems?.includes("windows")) {
    return [`${cni.name} is not modelled for Windows: ${which} ${are} NotReady and without pods`];
  }
  const policies = api.kinds.some((kind) => isPolicyKind(kind) && api.count(kind) > 0);
  const enforced = [...nodes.values()].some(({ policy }) => policy !== undefined);
  return policies && enforced ? [`policies are not enforced on Windows: ${which}`] : [];
}
