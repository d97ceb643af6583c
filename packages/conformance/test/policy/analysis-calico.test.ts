import { calicoPolicyReader, labelExpression, parseSelector } from "@cnilab/calico";
import { parseIp } from "@cnilab/net";
import {
  evaluate,
  type IpProtocol,
  icmpNumber,
  labelsMatch,
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { expect, test } from "vitest";
import { clusters, policies, selectors } from "./arbitrary-calico.ts";

const OUTSIDE = ["192.0.2.9", "203.0.113.1", "fd01::1"].map((text) =>
  outsideEndpoint(parseIp(text)),
);
const PROBES: readonly (readonly [IpProtocol, number])[] = [
  ["TCP", 80],
  ["TCP", 81],
  ["TCP", 8080],
  ["UDP", 53],
  ["SCTP", 80],
  ["ICMP", icmpNumber(8, 0)],
  ["ICMP", icmpNumber(8, 1)],
  ["ICMP", icmpNumber(3, 0)],
  ["ICMPv6", icmpNumber(128, 0)],
  [47, 0],
  [4, 0],
];
const SOURCE_PORTS = [32_768, 80];

test("the analysis of classes says of each pair and port what Calico's policies asked one by one say", () => {
  fc.assert(
    fc.property(clusters, policies, (objects, policyObjects) => {
      const view = calicoPolicyReader.read([...objects, ...policyObjects]);
      const plain = [...policyEndpoints(objects, 4), ...policyEndpoints(objects, 6), ...OUTSIDE];
      const endpoints = plain.map(view.endpoint);
      for (const sourcePort of SOURCE_PORTS) {
        const analysis = new PolicyAnalysis(view.policies, endpoints, view.settings, sourcePort);
        endpoints.forEach((source, s) => {
          endpoints.forEach((destination, d) => {
            for (const [protocol, port] of PROBES) {
              const flow = { source, destination, protocol, port, sourcePort };
              const { egress, ingress } = evaluate(view.policies, flow, view.settings);
              const found = analysis.verdict(s, d, protocol, port);
              if (found.egress === egress.allowed && found.ingress === ingress.allowed) continue;
              expect.fail(`${source.name} -> ${destination.name} ${protocol}/${port}`);
            }
          });
        });
      }
    }),
    { numRuns: 500 },
  );
});

test("a selector means the same in the one form of all policies", () => {
  const labels = fc.dictionary(
    fc.constantFrom("app", "tier"),
    fc.constantFrom("a", "b", "ab", ""),
    {
      noNullPrototype: true,
    },
  );
  fc.assert(
    fc.property(selectors, labels, (text, own) => {
      const selector = parseSelector(text);
      const expected = selector.matches(new Map(Object.entries(own)));
      expect(labelsMatch(labelExpression(selector.root), own)).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});
