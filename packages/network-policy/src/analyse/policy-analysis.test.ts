import type { KubeObject } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { evaluate } from "../policy/evaluate.ts";
import { DEFAULT_SETTINGS } from "../policy/match.ts";
import type { PeerTerm, Policy, Rule } from "../policy/policy.ts";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";
import type { Tier } from "../policy/tier.ts";
import { PolicyAnalysis } from "./policy-analysis.ts";

const CLOSING: Tier = { name: "one", order: 1, otherwise: "Deny" };
const OPEN: Tier = { name: "zero", order: 0, otherwise: "Pass" };

const ENDPOINTS: readonly PolicyEndpoint[] = [1, 2].flatMap((n): PolicyEndpoint[] => [
  {
    name: `node/n${n}`,
    address: parseIp(`192.168.0.${n}`),
    node: `n${n}`,
    nodeLabels: {},
    labels: { node: "" },
  },
  ...["a", "b"].map((app, i) => ({
    name: `x/${app}${n}`,
    address: parseIp(`10.0.${n}.${i}`),
    node: `n${n}`,
    pod: { namespace: "x", namespaceLabels: {}, labels: { app } },
    labels: { app },
  })),
]);

const object = { apiVersion: "v1", kind: "P", metadata: { name: "p" } } as KubeObject;
const term = fc.letrec<{ term: PeerTerm }>((tie) => ({
  term: fc.oneof(
    { maxDepth: 2 },
    fc.constant<PeerTerm>({ kind: "local" }),
    fc.constantFrom("a", "b", "c").map(
      (value): PeerTerm => ({
        kind: "labels",
        where: { op: "in", key: "app", values: [value] },
      }),
    ),
    fc.constant<PeerTerm>({ kind: "labels", where: { op: "has", key: "node" } }),
    fc
      .tuple(fc.constantFrom("all", "any"), fc.array(tie("term"), { maxLength: 2 }))
      .map(([kind, of]): PeerTerm => ({ kind, of })),
    tie("term").map((of): PeerTerm => ({ kind: "not", of })),
  ),
})).term;
const rule = fc.record(
  {
    path: fc.constant("spec"),
    action: fc.constantFrom("Allow", "Deny", "Pass", "Log"),
    rank: fc.integer({ min: -2, max: 2 }),
    peers: fc.array(term, { maxLength: 2 }),
    selected: fc.array(term, { minLength: 1, maxLength: 1 }),
    ports: fc.constant([{ protocol: "TCP", first: 80, last: 90 }]),
  },
  { requiredKeys: ["path", "action"] },
) as fc.Arbitrary<Rule>;
const direction = fc.constantFrom("ingress", "egress");
const policy = fc.record(
  {
    object: fc.constant(object),
    tier: fc.constantFrom(OPEN, CLOSING),
    priority: fc.constant(0),
    subject: term,
    ingress: fc.array(rule, { maxLength: 3 }),
    egress: fc.array(rule, { maxLength: 3 }),
    leavesOpen: fc.uniqueArray(direction, { maxLength: 2 }),
  },
  { requiredKeys: ["object", "tier", "priority", "subject"] },
) as fc.Arbitrary<Policy>;

test("all pairs at once say what each flow by itself does, on one node and on two", () => {
  fc.assert(
    fc.property(fc.array(policy, { maxLength: 5 }), (given) => {
      const policies = given.toSorted((x, y) => x.tier.order - y.tier.order);
      const analysis = new PolicyAnalysis(policies, ENDPOINTS);
      ENDPOINTS.forEach((source, s) => {
        ENDPOINTS.forEach((destination, d) => {
          for (const port of [79, 80]) {
            const flow = { source, destination, protocol: "TCP", port } as const;
            const { egress, ingress } = evaluate(policies, flow, DEFAULT_SETTINGS);
            expect(analysis.verdict(s, d, "TCP", port)).toEqual({
              egress: egress.allowed,
              ingress: ingress.allowed,
            });
          }
        });
      });
    }),
    { numRuns: 400, seed: 9 },
  );
});

const EVERYBODY: PeerTerm = { kind: "all", of: [] };
const NODE: PeerTerm = { kind: "labels", where: { op: "has", key: "node" } };
const of = (rules: readonly Omit<Rule, "path">[], more: Partial<Policy> = {}): Policy => ({
  object,
  tier: CLOSING,
  priority: 0,
  subject: EVERYBODY,
  ingress: rules.map((each, i) => ({ path: `spec.ingress[${i}]`, ...each })),
  ...more,
});

test.each<[string, readonly Policy[], string, string, boolean]>([
  ["nothing fits, and the policy closes", [of([])], "x/a1", "x/b1", false],
  [
    "nothing fits, and no policy closes",
    [of([], { leavesOpen: ["ingress"] })],
    "x/a1",
    "x/b1",
    true,
  ],
  ["another policy closes", [of([], { leavesOpen: ["ingress"] }), of([])], "x/a1", "x/b1", false],
  [
    "rank before the order of policies",
    [of([{ action: "Allow" }]), of([{ action: "Deny", rank: -1 }])],
    "x/a1",
    "x/b1",
    false,
  ],
  [
    "its own node",
    [of([{ action: "Allow", peers: [{ kind: "all", of: [NODE, { kind: "local" }] }] }])],
    "node/n1",
    "x/b1",
    true,
  ],
  [
    "another node",
    [of([{ action: "Allow", peers: [{ kind: "all", of: [NODE, { kind: "local" }] }] }])],
    "node/n2",
    "x/b1",
    false,
  ],
])("%s", (_, policies, from, to, allowed) => {
  const [source, destination] = [from, to].map((name) =>
    ENDPOINTS.find((each) => each.name === name),
  ) as [PolicyEndpoint, PolicyEndpoint];
  const flow = { source, destination, protocol: "TCP", port: 80 } as const;
  expect(evaluate(policies, flow).allowed).toBe(allowed);
});
