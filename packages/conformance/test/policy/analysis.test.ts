import { parseIp } from "@cnilab/net";
import {
  evaluate,
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
  readPolicies,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clusters, PROBES, policies } from "./arbitrary.ts";

const OUTSIDE = ["10.0.0.200", "192.0.2.99", "203.0.113.1"].map((text) =>
  outsideEndpoint(parseIp(text)),
);

describe("the analysis of classes", () => {
  test.each([true, false])(
    "says of each pair and port what the policies asked one by one say (address ranges admit pods: %s)",
    (blocksMatchPods) => {
      fc.assert(
        fc.property(clusters, policies, (objects, policyObjects) => {
          const settings = { blocksMatchPods };
          const endpoints = [...policyEndpoints(objects), ...OUTSIDE];
          const read = readPolicies(policyObjects);
          const analysis = new PolicyAnalysis(read, endpoints, settings);
          endpoints.forEach((source, s) => {
            endpoints.forEach((destination, d) => {
              for (const [protocol, port] of PROBES) {
                const flow = { source, destination, protocol, port };
                const { egress, ingress } = evaluate(read, flow, settings);
                const found = analysis.verdict(s, d, protocol, port);
                if (found.egress === egress.allowed && found.ingress === ingress.allowed) continue;
                expect.fail(`${source.name} -> ${destination.name} ${protocol}/${port}`);
              }
            });
          });
        }),
        { numRuns: 500 },
      );
    },
  );

  test("gives the same pairs row by row", () => {
    fc.assert(
      fc.property(clusters, policies, (objects, policyObjects) => {
        const analysis = new PolicyAnalysis(readPolicies(policyObjects), policyEndpoints(objects));
        const count = analysis.classes.classes.length;
        analysis.portClasses.forEach((_, port) => {
          const matrix = analysis.matrix(port);
          const sources: number[] = [];
          matrix.forEachSource((source, reaches) => {
            sources.push(source);
            for (let destination = 0; destination < count; destination++) {
              const bit = ((reaches[destination >>> 5] as number) >>> (destination & 31)) & 1;
              expect(bit === 1).toBe(matrix.allows(source, destination));
            }
          });
          expect(sources).toEqual([...analysis.classes.classes.keys()]);
        });
      }),
      { numRuns: 100 },
    );
  });
});
