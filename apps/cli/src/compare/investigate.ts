import type { Cluster } from "@cnilab/cluster";
import { isAddOn, PROXY } from "@cnilab/core";
import type { ClusterFlags } from "../cluster-flags.ts";
import { type ReachMember, runningMembers } from "../reach-members.ts";
import type { ComparedCni } from "./compared-cni.ts";
import type { ClusterSize, Finding, Pair } from "./finding.ts";
import { nodePortFindings } from "./node-port-findings.ts";
import { policyFinding } from "./policy-finding.ts";
import { reachOutcomes } from "./reach-outcomes.ts";
import { stateFinding } from "./state-finding.ts";
import { walkFindings } from "./walk-findings.ts";

/** Finds out on one CNI all that a comparison tells. The cluster is not as it was afterwards. */
export function investigate(
  cluster: Cluster,
  cni: ComparedCni,
  flags: ClusterFlags,
  pairs: readonly Pair[],
  warnings: readonly string[],
): Finding {
  const members = new Map<string, ReachMember>(
    runningMembers(cluster).map((member) => [member.name, member]),
  );
  const size = sizeOf(cluster, cni, flags);
  const state = stateFinding(cluster);
  const reach = reachOutcomes(cluster, members, pairs);
  const walks = walkFindings(cluster, members, pairs, reach, flags.seed);
  return {
    cni,
    size,
    policies: policyFinding(cluster),
    reach,
    ...walks,
    state,
    nodePorts: nodePortFindings(cluster),
    warnings: [...warnings, ...cluster.warnings],
  };
}

function sizeOf(cluster: Cluster, { model }: ComparedCni, flags: ClusterFlags): ClusterSize {
  const { api, container } = cluster;
  const pods = api.list("Pod").filter((pod) => !isAddOn(pod));
  return {
    nodes: cluster.nodes.size,
    pods: pods.length,
    runningPods: pods.filter(({ status }) => status?.phase === "Running").length,
    services: api.list("Service").filter((service) => !isAddOn(service)).length,
    servicesBy: container.isRegistered(PROXY)
      ? `kube-proxy (${flags.proxyMode})`
      : (model?.name ?? "nobody"),
  };
}
