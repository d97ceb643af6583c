import type { ClusterNode } from "./cluster-node.ts";
import type { ContainerProcess } from "./kubelet/container-process.ts";

/** One line for each error with which programs end, in as many pods as it may be. */
export function programWarnings(nodes: ReadonlyMap<string, ClusterNode>): string[] {
  const alike = new Map<string, ContainerProcess[]>();
  for (const { kubelet } of nodes.values()) {
    for (const process of kubelet.crashedPrograms) {
      const error = `${process.container.name} ${process.crash} ${process.crashObject}`;
      const same = alike.get(error) ?? [];
      same.push(process);
      alike.set(error, same);
    }
  }
  return [...alike.values()].map(line);
}

function line(processes: readonly ContainerProcess[]): string {
  const [first] = processes as [ContainerProcess];
  const { container, crash, crashObject } = first;
  const which = processes.length === 1 ? `pod ${podOf(first)}` : `${processes.length} pods`;
  const program = `container ${container.name} of ${which}`;
  if (crashObject !== undefined) return `${crashObject} stops ${program}: ${crash}`;
  return `${program} ended with an error: ${crash}`;
}

/** Owners are `ns/pod/container`. */
function podOf({ owner }: ContainerProcess): string {
  return owner.slice(0, owner.lastIndexOf("/"));
}
