import { parseManifests } from "@cnilab/cluster";
import { InputError, type KubeObject } from "@cnilab/core";
import {
  connectionLines,
  exposureLines,
  findings,
  inferIntent,
  PolicyAnalysis,
  policyEndpoints,
  readPolicies,
  suggestPolicies,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { expect, test } from "vitest";
import { clusters, policies } from "./arbitrary.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** What somebody might write in the wrong place. */
const wrong: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    -1,
    0,
    65_536,
    1.5,
    "",
    "TCP",
    "tcp",
    "10.0.0.0/33",
    "::/0",
    "a b",
    "*",
    {},
    [],
  ),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
);

/** Puts a value in place of one that a walk of random turns comes to, or beside it under a new name. */
function changed(value: Json, turns: readonly number[], put: Json, name: string | undefined): Json {
  const [turn, ...rest] = turns;
  if (turn === undefined || value === null || typeof value !== "object") return put;
  if (Array.isArray(value)) {
    if (value.length === 0) return [put];
    const at = turn % value.length;
    return value.map((each, i) => (i === at ? changed(each, rest, put, name) : each));
  }
  const entries = Object.entries(value);
  if (rest.length === 0 && name !== undefined) return { ...value, [name]: put };
  if (entries.length === 0) return put;
  const at = turn % entries.length;
  return Object.fromEntries(
    entries.map(([key, each], i) => [key, i === at ? changed(each, rest, put, name) : each]),
  );
}

const breaks = fc.array(
  fc.record({
    turns: fc.array(fc.nat(9), { minLength: 1, maxLength: 8 }),
    put: wrong,
    name: fc.option(
      fc.constantFrom("ingres", "ipBlock", "except", "__proto__", "endPort", "podSelector"),
      {
        nil: undefined,
      },
    ),
  }),
  { minLength: 1, maxLength: 2 },
);

test("a broken policy is refused with its field, or taken and understood", () => {
  let refused = 0;
  fc.assert(
    fc.property(clusters, policies, breaks, (cluster, all, changes) => {
      const [first, ...others] = all;
      if (first === undefined) return;
      let { spec } = first as unknown as { readonly spec: Json };
      for (const { turns, put, name } of changes) spec = changed(spec, turns, put, name);
      const objects = [...cluster, { ...first, spec }, ...others];
      const text = objects.map((object) => JSON.stringify(object)).join("\n---\n");
      let parsed: readonly KubeObject[];
      try {
        parsed = parseManifests(text, "p.yaml").objects;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        expect(error.message).toMatch(/^p\.yaml:\d+: \w+NetworkPolicy|^p\.yaml:\d+: NetworkPolicy/);
        expect(error.message).toContain("spec");
        refused++;
        return;
      }
      const read = readPolicies(parsed);
      const analysis = new PolicyAnalysis(read, policyEndpoints(parsed));
      for (const port of analysis.portClasses.keys()) analysis.matrix(port).countPairs();
      connectionLines(parsed);
      exposureLines(parsed);
      findings(parsed);
      suggestPolicies(inferIntent(parsed));
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(50);
});
