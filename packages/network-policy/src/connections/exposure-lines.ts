import type { KubeObject } from "@cnilab/core";
import { KUBERNETES_POLICIES, type PolicyReader } from "../policy/policy-reader.ts";
import { type PermittedConnection, peerName, permittedConnections } from "./connections.ts";
import { type Exposure, exposure } from "./exposure.ts";
import { ENTIRE_CLUSTER, possiblePeerName } from "./possible-peer.ts";
import { type Workload, workloadName } from "./workloads.ts";

/** The exposure part of `netpol-analyzer list --exposure`. */
export function exposureLines(
  objects: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly string[] {
  const { exposures, unprotected } = exposure(objects, reader);
  const exposed = new Map<string, Workload>();
  for (const { workload } of [...exposures, ...unprotected])
    exposed.set(workloadName(workload), workload);
  const width = Math.max(0, ...[...exposed.keys()].map((name) => name.length));
  const connections = permittedConnections(objects, reader);
  const lines = ["Exposure Analysis Result:"];
  for (const direction of ["egress", "ingress"] as const) {
    const arrow = direction === "egress" ? "=>" : "<=";
    const pairs = [
      ...exposures.filter((each) => each.direction === direction).map(exposurePair),
      ...connections.flatMap((each) => outsidePair(each, direction, exposed)),
    ];
    if (pairs.length === 0) continue;
    if (lines.length > 1) lines.push("");
    lines.push(direction === "egress" ? "Egress Exposure:" : "Ingress Exposure:");
    const texts = pairs.map(
      ({ workload, peer, ports }) => `${workload.padEnd(width)} \t${arrow} \t${peer} : ${ports}`,
    );
    lines.push(...texts.sort());
  }
  if (unprotected.length === 0) return lines;
  const open = unprotected.map(
    ({ workload, direction }) =>
      `${workloadName(workload)} is not protected on ${direction === "egress" ? "Egress" : "Ingress"}`,
  );
  return [...lines, "", "Workloads not protected by network policies:", ...open.sort()];
}

interface Pair {
  readonly workload: string;
  readonly peer: string;
  readonly ports: string;
}

function exposurePair({ workload, peer, ports }: Exposure): Pair {
  return {
    workload: workloadName(workload),
    peer: peer === ENTIRE_CLUSTER ? peer : possiblePeerName(peer),
    ports: String(ports),
  };
}

function outsidePair(
  { source, destination, ports }: PermittedConnection,
  direction: "egress" | "ingress",
  exposed: ReadonlyMap<string, Workload>,
): readonly Pair[] {
  const [workload, peer] = direction === "egress" ? [source, destination] : [destination, source];
  if ("outside" in workload || !("outside" in peer)) return [];
  const name = workloadName(workload.workload);
  return exposed.has(name) ? [{ workload: name, peer: peerName(peer), ports: String(ports) }] : [];
}
