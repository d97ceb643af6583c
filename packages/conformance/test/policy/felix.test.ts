import { calico, calicoPolicyReader } from "@cnilab/calico";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type { KubeObject, Pod } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { parseIp } from "@cnilab/net";
import { outsideEndpoint, type PolicyEndpoint, policyEndpoints } from "@cnilab/network-policy";
import fc from "fast-check";
import { expect, test } from "vitest";
import * as ofKubernetes from "./arbitrary.ts";
import * as ofCalico from "./arbitrary-calico.ts";
import { applyValid, differences, PROBES, withoutStatus } from "./differences.ts";

const OUTSIDE = ["198.51.100.7", "100.64.0.9"].map((text) => outsideEndpoint(parseIp(text)));

const WALKED = new Set<string>(["Namespace", "ServiceAccount", "Pod"]);

/** A cluster of the pods, which Calico gives their addresses. */
async function withoutPolicies(
  objects: readonly KubeObject[],
  dataplane: "Iptables" | "Nftables",
): Promise<Cluster> {
  const cluster = createCluster({
    cni: calico,
    cniOptions: { encapsulation: "VXLAN", dataplane },
    listen: "all",
    register: registerKubeProxy,
  });
  cluster.apply(objects.filter(({ kind }) => WALKED.has(kind)).map(withoutStatus));
  await cluster.settled();
  return cluster;
}

/** The same objects with addresses that this cluster has: each pod's, and the range of all. */
function placed(objects: readonly KubeObject[], pods: readonly Pod[]): readonly KubeObject[] {
  let text = JSON.stringify(objects).replaceAll("10.0.0.0/8", "10.244.0.0/16");
  const first = pods[0]?.status?.podIP;
  if (first !== undefined) text = text.replaceAll("10.0.0.4/31", `${first}/32`);
  pods.forEach(({ status }, i) => {
    if (status?.podIP !== undefined)
      text = text.replaceAll(`"10.0.0.${i + 1}"`, `"${status.podIP}"`);
  });
  return JSON.parse(text) as readonly KubeObject[];
}

function endpointsOf(objects: readonly KubeObject[]): readonly PolicyEndpoint[] {
  const pods = policyEndpoints(objects).filter(
    ({ pod }) => pod !== undefined && pod.namespace !== "kube-system",
  );
  return [...pods, ...OUTSIDE];
}

/** Codes of ICMP are written as `icmp type 8 code 0` (`felix/nftables/match_builder.go`), and nft takes `icmp code` alone: it refuses all. */
function canBeProgrammed(policy: KubeObject, dataplane: "Iptables" | "Nftables"): boolean {
  return dataplane === "Iptables" || !JSON.stringify(policy).includes('"code":');
}

const RUNS = Number(process.env["CNILAB_POLICY_RUNS"] ?? 30);
const probes = fc.subarray([...PROBES], { minLength: 3, maxLength: 3 });

test.each(["Iptables", "Nftables"] as const)(
  "Felix lets packets through where the analysis of Calico's policies says so (%s)",
  async (dataplane) => {
    await fc.assert(
      fc.asyncProperty(
        ofCalico.clusters,
        ofCalico.policies,
        probes,
        async (objects, given, asked) => {
          const cluster = await withoutPolicies(objects, dataplane);
          const pods = objects
            .filter(({ kind }) => kind === "Pod")
            .map(
              ({ metadata }) =>
                cluster.api.get("Pod", `${metadata.namespace}/${metadata.name}`) as Pod,
            );
          const around = objects.filter(({ kind }) =>
            ["GlobalNetworkSet", "EndpointSlice", "Tier"].includes(kind),
          );
          const programmed = given.filter((policy) => canBeProgrammed(policy, dataplane));
          applyValid(cluster, placed([...around, ...programmed], pods));
          await cluster.settled();
          expect(differences(cluster, calicoPolicyReader, endpointsOf, asked)).toEqual([]);
        },
      ),
      { numRuns: RUNS },
    );
  },
  600_000,
);

test("Felix lets packets through where the analysis of Kubernetes' policies says so", async () => {
  await fc.assert(
    fc.asyncProperty(
      ofKubernetes.clusters,
      ofKubernetes.policies,
      probes,
      async (objects, given, asked) => {
        const cluster = await withoutPolicies(objects, "Iptables");
        cluster.apply(given);
        await cluster.settled();
        expect(differences(cluster, calicoPolicyReader, endpointsOf, asked)).toEqual([]);
      },
    ),
    { numRuns: RUNS },
  );
}, 600_000);
