import { type Cluster, type ConnectProtocol, createCluster } from "@cnilab/cluster";
import type { Kind, KubeObject, Pod } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { formatIp, parseIp } from "@cnilab/net";
import {
  type IpProtocol,
  icmpNumber,
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
} from "@cnilab/network-policy";
import { weave, weavePolicyReader } from "@cnilab/weave";
import fc from "fast-check";
import { expect, test } from "vitest";
import { clusters, policies } from "./arbitrary.ts";

const OUTSIDE = outsideEndpoint(parseIp("198.51.100.7"));

/** How a probe is sent, and what policies are asked about it. */
const PROBES: readonly (readonly [ConnectProtocol, number, IpProtocol])[] = [
  ["TCP", 80, "TCP"],
  ["TCP", 8080, "TCP"],
  ["UDP", 53, "UDP"],
  ["UDP", 81, "UDP"],
  ["ICMP", icmpNumber(8, 0), "ICMP"],
];

/** A cluster of the pods, which Weave gives their addresses. */
async function withoutPolicies(objects: readonly KubeObject[]): Promise<Cluster> {
  const cluster = createCluster({ cni: weave, listen: "all", register: registerKubeProxy });
  cluster.apply(
    objects
      .filter(({ kind }) => ["Namespace", "Node", "Pod"].includes(kind))
      .map((object) => {
        if (object.kind !== "Pod") return object;
        const { status: _, ...rest } = object as Pod;
        return rest as KubeObject;
      }),
  );
  await cluster.settled();
  return cluster;
}

/** The same policies about addresses of this cluster: one pod's, and the nodes'. */
function placed(given: readonly KubeObject[], cluster: Cluster): readonly KubeObject[] {
  const first = policyEndpoints(cluster.api.list("Pod"))[0]?.address;
  const text = JSON.stringify(given.filter(({ kind }) => kind === "NetworkPolicy"));
  const own = first === undefined ? "10.0.0.4" : formatIp(first);
  return JSON.parse(text.replaceAll("10.0.0.4/31", `${own}/32`)) as readonly KubeObject[];
}

/** Which of all pairs fare otherwise than the analysis says. */
function differences(
  cluster: Cluster,
  probes: readonly (typeof PROBES)[number][],
  counts: Map<string, number>,
): readonly string[] {
  const objects = weavePolicyReader.kinds.flatMap((kind: Kind): readonly KubeObject[] => [
    ...cluster.api.list(kind),
  ]);
  const { policies, endpoint, settings } = weavePolicyReader.read(objects);
  const known = policyEndpoints(objects).filter(({ pod }) => pod?.namespace !== "kube-system");
  const ends = [...known, OUTSIDE].map(endpoint);
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

const RUNS = Number(process.env["CNILAB_POLICY_RUNS"] ?? 30);
const probes = fc.subarray([...PROBES], { minLength: 3, maxLength: 3 });

test("weave-npc lets packets through where the analysis of policies says so", async () => {
  const counts = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(clusters, policies, probes, async (objects, given, asked) => {
      const cluster = await withoutPolicies(objects);
      cluster.apply(placed(given, cluster));
      await cluster.settled();
      expect(differences(cluster, asked, counts)).toEqual([]);
    }),
    { numRuns: RUNS, seed: 9 },
  );
  expect(counts.get("allowed")).toBeGreaterThan(50 * RUNS);
  expect(counts.get("blocked")).toBeGreaterThan(5 * RUNS);
}, 600_000);
