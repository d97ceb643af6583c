import type { Cluster, ConnectProtocol } from "@cnilab/cluster";
import { InputError, type Kind, type KubeObject, type Pod } from "@cnilab/core";
import {
  type IpProtocol,
  icmpNumber,
  PolicyAnalysis,
  type PolicyEndpoint,
  type PolicyReader,
} from "@cnilab/network-policy";

/** How a probe is sent, and what policies are asked about it. */
export type Probe = readonly [ConnectProtocol, number, IpProtocol];

export const PROBES: readonly Probe[] = [
  ["TCP", 80, "TCP"],
  ["TCP", 8080, "TCP"],
  ["UDP", 53, "UDP"],
  ["UDP", 81, "UDP"],
  ["ICMP", icmpNumber(8, 0), "ICMP"],
];

/** Which of all pairs fare otherwise than the analysis of what the reader makes of the cluster's policies says. */
export function differences(
  cluster: Cluster,
  reader: PolicyReader,
  endpointsOf: (objects: readonly KubeObject[]) => readonly PolicyEndpoint[],
  probes: readonly Probe[],
  counts: Map<string, number> = new Map(),
): readonly string[] {
  const objects = reader.kinds.flatMap((kind: Kind): readonly KubeObject[] => [
    ...cluster.api.list(kind),
  ]);
  const { policies, endpoint, settings } = reader.read(objects);
  const ends = endpointsOf(objects).map(endpoint);
  const analysis = new PolicyAnalysis(policies, ends, settings);
  return ends.flatMap((source, s) =>
    ends.flatMap((destination, d) => {
      if (s === d || (source.pod === undefined && destination.pod === undefined)) return [];
      return probes.flatMap(([sent, port, protocol]) => {
        cluster.forgetConnections();
        const { egress, ingress, verdict, reason } = cluster.connect({
          from: cluster.endpoint(source.name),
          to: cluster.endpoint(destination.name),
          protocol: sent,
          ...(sent !== "ICMP" && { port }),
        });
        counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
        const wanted = analysis.verdict(s, d, protocol, port);
        const hoped = wanted.egress && wanted.ingress ? "allowed" : "blocked";
        if (egress === wanted.egress && ingress === wanted.ingress && verdict === hoped) return [];
        return [
          `${source.name} (${source.node}) -> ${destination.name} (${destination.node}) ${sent}/${port}: ${verdict} (egress ${egress}, ingress ${ingress}: ${reason}), by policies egress ${wanted.egress}, ingress ${wanted.ingress}`,
        ];
      });
    }),
  );
}

/** Nodes and pods get their addresses from the cluster. */
export function withoutStatus(object: KubeObject): KubeObject {
  const { status: _, ...rest } = object as Pod;
  return rest as KubeObject;
}

/** Applies what the API server takes of some objects: of random ones not all are right. */
export function applyValid(cluster: Cluster, objects: readonly KubeObject[]): void {
  for (const object of objects) {
    try {
      cluster.apply([object]);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }
}
