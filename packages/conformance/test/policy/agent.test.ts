import type { KubeObject } from "@cnilab/core";
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

  // Neighbour discovery is ICMPv6, which policies on ports never name; bridged pods are nothing without it.
  test("lets pods of one node find each other over IPv6, whatever is allowed between them", async () => {
    const pod = (name: string): KubeObject =>
      ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default", labels: { app: name } },
        spec: { nodeName: "one", containers: [{ name: "c", image: "x" }] },
      }) as KubeObject;
    const web: KubeObject = {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "web", namespace: "default" },
      spec: {
        podSelector: { matchLabels: { app: "web" } },
        policyTypes: ["Ingress"],
        ingress: [
          { from: [{ podSelector: { matchLabels: { app: "client" } } }], ports: [{ port: 80 }] },
        ],
      },
    } as KubeObject;
    const node = { apiVersion: "v1", kind: "Node", metadata: { name: "one" } } as KubeObject;
    const cluster = await walkedCluster([node, pod("web"), pod("client"), web], 6);
    const ask = (from: string, to: string, port: number) =>
      cluster.connect({
        from: cluster.endpoint(`default/${from}`),
        to: cluster.endpoint(`default/${to}`),
        protocol: "TCP",
        port,
      }).verdict;
    expect(ask("web", "client", 9)).toBe("allowed");
    expect(ask("client", "web", 80)).toBe("allowed");
    expect(ask("client", "web", 81)).toBe("blocked");
  });
});
