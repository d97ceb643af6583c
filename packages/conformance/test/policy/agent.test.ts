import { parseIp } from "@cnilab/net";
import {
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
  readPolicies,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clusters, PROBES, policies } from "./arbitrary.ts";
import { walkedCluster } from "./walked-cluster.ts";

const OUTSIDE = ["198.51.100.7", "100.64.0.9"].map((text) => outsideEndpoint(parseIp(text)));

describe("the agent", () => {
  test("lets packets through where the analysis says that policies do", async () => {
    await fc.assert(
      fc.asyncProperty(
        clusters,
        policies,
        fc.subarray([...PROBES], { minLength: 3, maxLength: 3 }),
        async (objects, policyObjects, probes) => {
          const all = [...objects, ...policyObjects];
          const pods = policyEndpoints(objects).filter(({ pod }) => pod !== undefined);
          const endpoints = [...pods, ...OUTSIDE];
          const analysis = new PolicyAnalysis(readPolicies(all), endpoints);
          const cluster = await walkedCluster(all);
          endpoints.forEach((source, s) => {
            endpoints.forEach((destination, d) => {
              // Outside to outside is nobody's business, and what a pod sends to itself never leaves it.
              if (s === d || (source.pod === undefined && destination.pod === undefined)) return;
              for (const [protocol, port] of probes) {
                cluster.forgetConnections();
                const { egress, ingress, verdict, reason } = cluster.connect({
                  from: cluster.endpoint(source.name),
                  to: cluster.endpoint(destination.name),
                  protocol,
                  port,
                });
                const wanted = analysis.verdict(s, d, protocol, port);
                const allowed = wanted.egress && wanted.ingress;
                expect(
                  { egress, ingress, verdict },
                  `${source.name} -> ${destination.name} ${protocol}/${port}: ${reason}`,
                ).toEqual({ ...wanted, verdict: allowed ? "allowed" : "blocked" });
              }
            });
          });
        },
      ),
      { numRuns: Number(process.env["CNILAB_POLICY_RUNS"] ?? 60) },
    );
  }, 600_000);
});
