import { type Cluster, createCluster } from "@cnilab/cluster";
import type { KubeObject } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { formatIp, parseIp } from "@cnilab/net";
import { outsideEndpoint, type PolicyEndpoint, policyEndpoints } from "@cnilab/network-policy";
import { weave, weavePolicyReader } from "@cnilab/weave";
import fc from "fast-check";
import { expect, test } from "vitest";
import { clusters, policies } from "./arbitrary.ts";
import { differences, PROBES, withoutStatus } from "./differences.ts";

const OUTSIDE = outsideEndpoint(parseIp("198.51.100.7"));

/** A cluster of the pods, which Weave gives their addresses. */
async function withoutPolicies(objects: readonly KubeObject[]): Promise<Cluster> {
  const cluster = createCluster({ cni: weave, listen: "all", register: registerKubeProxy });
  cluster.apply(
    objects
      .filter(({ kind }) => ["Namespace", "Node", "Pod"].includes(kind))
      .map((object) => (object.kind === "Pod" ? withoutStatus(object) : object)),
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

function endpointsOf(objects: readonly KubeObject[]): readonly PolicyEndpoint[] {
  const known = policyEndpoints(objects).filter(({ pod }) => pod?.namespace !== "kube-system");
  return [...known, OUTSIDE];
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
      expect(differences(cluster, weavePolicyReader, endpointsOf, asked, counts)).toEqual([]);
    }),
    { numRuns: RUNS, seed: 9 },
  );
  expect(counts.get("allowed")).toBeGreaterThan(50 * RUNS);
  expect(counts.get("blocked")).toBeGreaterThan(5 * RUNS);
}, 600_000);
