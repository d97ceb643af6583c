import { describe, expect, test } from "vitest";
import type { ModelPolicy, ModelTier } from "../conversion/model.ts";
import {
  type EndpointTiers,
  endpointTiers,
  type SelectingPolicy,
  sameTiers,
} from "./endpoint-tiers.ts";
import type { PolicyKind } from "./messages.ts";

const TIERS: ReadonlyMap<string, ModelTier> = new Map([
  ["default", { order: 1000, defaultAction: "Deny" }],
  ["first", { order: 1, defaultAction: "Pass" }],
  ["also-first", { order: 1, defaultAction: "Deny" }],
  ["unordered", { defaultAction: "Deny" }],
]);

describe("endpointTiers", () => {
  test.each<[string, readonly SelectingPolicy[], readonly string[]]>([
    ["none", [], []],
    [
      "by the tier's order, then its name",
      [of("a", { tier: "first" }), of("b", { tier: "also-first" }), of("c")],
      ["also-first:b", "first:a", "default:c"],
    ],
    [
      "a tier without an order is last of those there are",
      [of("a", { tier: "unordered" }), of("b")],
      ["default:b", "unordered:a"],
    ],
    [
      "one that there is not comes after all",
      [of("a", { tier: "absent" }), of("b", { tier: "unordered" })],
      ["unordered:b", "absent:a"],
    ],
    [
      "by order, without one last",
      [of("a"), of("b", { order: 2 }), of("c", { order: -1 }), of("d", { order: 2.5 })],
      ["default:c b d a"],
    ],
    [
      "by name, namespace and kind where the order is equal",
      [
        of("p", {}, "NetworkPolicy", "red"),
        of("p", {}, "GlobalNetworkPolicy"),
        of("p", {}, "KubernetesNetworkPolicy", "red"),
        of("o", {}, "NetworkPolicy", "z"),
      ],
      ["default:o/z p p/red p/red"],
    ],
  ])("%s", (_, policies, want) => {
    expect(shown(endpointTiers(policies, TIERS).normal)).toEqual(want);
  });

  test("each kind of policy is asked in its own place, and only of its types", () => {
    const tiers = endpointTiers(
      [
        of("normal", { types: ["ingress"] }),
        of("both"),
        of("forward", { applyOnForward: true, types: ["egress"] }),
        of("raw", { doNotTrack: true }),
        of("pre", { preDnat: true }),
      ],
      TIERS,
    );
    expect(shown(tiers.normal)).toEqual(["default:both normal"]);
    expect(tiers.normal[0]?.egressPolicies.map(({ name }) => name)).toEqual(["both", "forward"]);
    expect(
      tiers.forward.map(({ ingressPolicies, egressPolicies }) => [
        ingressPolicies.length,
        egressPolicies.length,
      ]),
    ).toEqual([[0, 1]]);
    expect(tiers.untracked).toMatchObject([
      {
        defaultAction: "Pass",
        ingressPolicies: [{ name: "raw" }],
        egressPolicies: [{ name: "raw" }],
      },
    ]);
    // There is no chain for what leaves before DNAT.
    expect(tiers.preDnat).toMatchObject([
      { defaultAction: "Pass", ingressPolicies: [{ name: "pre" }], egressPolicies: [] },
    ]);
  });

  test("a tier that there is not has no default action, which denies in the end", () => {
    const [tier] = endpointTiers([of("a", { tier: "absent" })], TIERS).normal;
    expect(tier?.name).toBe("absent");
    expect(tier?.defaultAction).toBeUndefined();
  });

  test.each<[string, readonly SelectingPolicy[], boolean]>([
    ["the same", [of("a"), of("b")], true],
    ["the same found in another order", [of("b"), of("a")], true],
    ["fewer", [of("a")], false],
    ["another order", [of("a", { order: 2 }), of("b", { order: 1 })], false],
    ["another type", [of("a", { types: ["egress"] }), of("b")], false],
    ["another kind", [of("a"), of("b", {}, "StagedGlobalNetworkPolicy")], false],
    ["another tier", [of("a", { tier: "first" }), of("b")], false],
  ])("sameTiers tells %s", (_, policies, want) => {
    const before: EndpointTiers = endpointTiers([of("a"), of("b")], TIERS);
    expect(sameTiers(before, endpointTiers(policies, TIERS))).toBe(want);
  });
});

function of(
  name: string,
  policy: Partial<ModelPolicy> = {},
  kind: PolicyKind = "GlobalNetworkPolicy",
  namespace?: string,
): SelectingPolicy {
  return {
    id: namespace === undefined ? { name, kind } : { name, namespace, kind },
    policy: {
      tier: "default",
      inboundRules: [],
      outboundRules: [],
      selector: "",
      doNotTrack: false,
      preDnat: false,
      applyOnForward: false,
      types: [],
      performanceHints: [],
      ...policy,
    },
  };
}

function shown(tiers: EndpointTiers["normal"]): readonly string[] {
  return tiers.map(
    ({ name, ingressPolicies }) =>
      `${name}:${ingressPolicies.map((id) => (id.namespace === undefined ? id.name : `${id.name}/${id.namespace}`)).join(" ")}`,
  );
}
