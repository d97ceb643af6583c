import { ciliumPolicyReader } from "@cnilab/cilium";
import type { KubeObject } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import {
  evaluate,
  type IpProtocol,
  icmpNumber,
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
  type SideVerdict,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { expect, test } from "vitest";
import { cluster, OUTSIDE, options, policies } from "./arbitrary-cilium.ts";
import { type MapVerdict, MapVerdicts, mapSettings } from "./map-verdicts.ts";

const QUESTIONS: readonly (readonly ["TCP" | "UDP" | "SCTP" | "ICMP", number])[] = [
  ["TCP", 80],
  ["TCP", 81],
  ["TCP", 443],
  ["TCP", 8080],
  ["TCP", 5432],
  ["TCP", 65_535],
  ["UDP", 80],
  ["SCTP", 443],
  ["ICMP", 8],
  ["ICMP", 3],
];

/** Where the analyser and agents' policy maps differ. */
function differences(
  objects: readonly KubeObject[],
  chosen: Readonly<Record<string, string | boolean>>,
): { readonly wrong: readonly string[]; readonly asked: readonly MapVerdict[] } {
  const reader = ciliumPolicyReader.withOptions?.(chosen) ?? ciliumPolicyReader;
  const view = reader.read(objects);
  const maps = new MapVerdicts(objects, mapSettings(chosen));
  const ends = [
    ...policyEndpoints(objects),
    ...OUTSIDE.map((address) => outsideEndpoint(parseIp(address))),
  ].map(view.endpoint);
  const analysis = new PolicyAnalysis(view.policies, ends, view.settings);
  const wrong: string[] = [];
  const asked: MapVerdict[] = [];
  ends.forEach((source, s) => {
    ends.forEach((destination, d) => {
      // What stays inside an endpoint is nobody's business, and neither is what stays outside.
      if (s === d || (source.node === undefined && destination.node === undefined)) return;
      for (const [protocol, port] of QUESTIONS) {
        const number = protocol === "ICMP" ? icmpNumber(port, 0) : port;
        const flow = { source, destination, protocol: protocol as IpProtocol, port: number };
        const verdict = evaluate(view.policies, flow, view.settings);
        const pair = analysis.verdict(s, d, protocol, number);
        for (const side of ["egress", "ingress"] as const) {
          const expected = maps.verdict(side, source.name, destination.name, protocol, port);
          if (expected === "conflict") continue;
          asked.push(expected);
          const found = verdictOf(verdict[side]);
          const quick = pair[side] === (expected !== "deny");
          if (found === expected && quick) continue;
          wrong.push(
            `${side} ${source.name} -> ${destination.name} ${protocol} ${port}: maps say ${expected}, evaluation ${found}, analysis ${pair[side]}`,
          );
        }
      }
    });
  });
  return { wrong, asked };
}

function verdictOf({ allowed, steps }: SideVerdict): MapVerdict {
  if (!allowed) return "deny";
  return steps.at(-1)?.rule?.rule.provided?.includes("a proxy") ? "redirect" : "allow";
}

test("random policies: what the analyser says is what is in policy maps", () => {
  const all = new Map<MapVerdict, number>();
  fc.assert(
    fc.property(cluster, policies, options, (objects, given, chosen) => {
      const { wrong, asked } = differences([...objects, ...given], chosen);
      for (const verdict of asked) all.set(verdict, (all.get(verdict) ?? 0) + 1);
      expect(wrong).toEqual([]);
    }),
    { numRuns: 600, seed: 9 },
  );
  for (const [verdict, least] of [
    ["allow", 400_000],
    ["deny", 200_000],
    ["redirect", 2_000],
  ] as const) {
    expect(all.get(verdict), verdict).toBeGreaterThan(least);
  }
}, 120_000);
