import type { KubeObject } from "@cnilab/core";
import { peerName, permittedConnections } from "../connections/connections.ts";
import { workloadName } from "../connections/workloads.ts";
import { KUBERNETES_POLICIES, type PolicyReader } from "../policy/policy-reader.ts";
import type { Intent } from "./calls.ts";

/** A workload that others may connect to, although no manifest says that they do. */
export interface UnusedPaths {
  readonly destination: string;
  /** Who may, and on which ports. */
  readonly sources: readonly { readonly source: string; readonly ports: string }[];
}

/**
 * Pairs of workloads that policies permit to talk and of which no call is inferred. Only about workloads that some policy
 * selects: of the others everything is open, which is told once.
 */
export function unusedPaths(
  objects: readonly KubeObject[],
  { calls, services }: Intent,
  isProtected: (workload: string) => boolean,
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly UnusedPaths[] {
  const used = new Set(
    calls.flatMap(({ from, service, port }) =>
      services
        .backends(service, port)
        .map(({ workload }) => `${workloadName(from)} => ${workloadName(workload)}`),
    ),
  );
  const found = new Map<string, { source: string; ports: string }[]>();
  for (const { source, destination, ports } of permittedConnections(objects, reader)) {
    if (!("workload" in source && "workload" in destination)) continue;
    const [from, to] = [peerName(source), peerName(destination)];
    if (used.has(`${from} => ${to}`) || !isProtected(to)) continue;
    const sources = found.get(to);
    const path = { source: from, ports: String(ports) };
    if (sources === undefined) found.set(to, [path]);
    else sources.push(path);
  }
  return [...found].map(([destination, sources]) => ({ destination, sources }));
}
