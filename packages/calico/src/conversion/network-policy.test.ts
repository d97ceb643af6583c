import { type LabelSelector, type NetworkPolicy, selects } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseSelector } from "../selector/selector.ts";
import { convertClusterNetworkPolicy } from "./cluster-network-policy.ts";
import { namespaceSelectorText, podSelectorText } from "./label-selector.ts";
import { modelNetworkPolicy } from "./model-policies.ts";
import { convertNetworkPolicy } from "./network-policy.ts";
import { convertUid } from "./uid.ts";

const key = fc.constantFrom("app", "app.kubernetes.io/name", "in", "has", "constructor");
const value = fc.constantFrom("", "a", "b-1");
const selector: fc.Arbitrary<LabelSelector> = fc.record(
  {
    matchLabels: fc.dictionary(key, value, { maxKeys: 2 }),
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key,
          operator: fc.constantFrom("In", "NotIn"),
          values: fc.array(value, { minLength: 1 }),
        }),
        fc.record({ key, operator: fc.constantFrom("Exists", "DoesNotExist") }),
      ),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: [] },
);
const labels = fc.dictionary(key, value);

describe("selectors", () => {
  test("of pods select the same pods in Calico's words, and nothing but pods", () => {
    fc.assert(
      fc.property(selector, labels, (of, has) => {
        const text = parseSelector(podSelectorText(of));
        const pod = new Map([
          ...Object.entries(has),
          ["projectcalico.org/orchestrator", "k8s"],
        ] as const);
        expect(text.matches(pod)).toBe(selects(of, has));
        expect(text.matches(new Map(Object.entries(has)))).toBe(false);
      }),
    );
  });

  test("of namespaces select the same namespaces", () => {
    fc.assert(
      fc.property(selector, labels, (of, has) => {
        expect(parseSelector(namespaceSelectorText(of)).matches(new Map(Object.entries(has)))).toBe(
          selects(of, has),
        );
      }),
    );
  });
});

describe("convertNetworkPolicy", () => {
  const ports = fc.array(
    fc.record(
      {
        protocol: fc.constantFrom("TCP", "UDP", "SCTP"),
        port: fc.oneof(fc.integer({ min: 1, max: 65535 }), fc.constantFrom("http", "dns")),
        endPort: fc.integer({ min: 1, max: 65535 }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 4 },
  );
  const peer = fc.oneof(
    fc.record({ podSelector: selector, namespaceSelector: selector }, { requiredKeys: [] }),
    fc.record({
      ipBlock: fc.record({
        cidr: fc.constantFrom("10.0.0.0/8", "fd00::/64"),
        except: fc.constantFrom([], ["10.1.0.0/16"]),
      }),
    }),
  );
  const policy = fc
    .record(
      {
        podSelector: selector,
        policyTypes: fc.subarray(["Ingress", "Egress"] as const),
        ingress: fc.array(fc.record({ from: fc.array(peer), ports }, { requiredKeys: [] }), {
          maxLength: 3,
        }),
        egress: fc.array(fc.record({ to: fc.array(peer), ports }, { requiredKeys: [] }), {
          maxLength: 3,
        }),
      },
      { requiredKeys: [] },
    )
    .map((spec): NetworkPolicy => policyOf(spec as NetworkPolicy["spec"]));

  test("any policy is converted; a rule that cannot be is told, and no other is lost", () => {
    fc.assert(
      fc.property(policy, (each) => {
        const { policy: converted, badRules } = convertNetworkPolicy(each);
        const { ingress = [], egress = [] } = each.spec;
        for (const { direction, index, reason } of badRules) {
          expect(direction === "ingress" ? ingress[index] : egress[index]).toBeDefined();
          expect(reason).toMatch(
            /^k8s rule couldn't be converted: failed to parse k8s port: invalid port /,
          );
        }
        const good = ingress.length + egress.length - badRules.length;
        const { spec } = converted;
        expect((spec.ingress?.length ?? 0) + (spec.egress?.length ?? 0)).toBeGreaterThanOrEqual(
          good,
        );
        const model = modelNetworkPolicy(converted);
        for (const { source, destination } of [...model.inboundRules, ...model.outboundRules]) {
          for (const text of [source.selector, destination.selector])
            if (text !== undefined) parseSelector(text);
        }
        parseSelector(model.selector);
      }),
    );
  });

  test("a range that is none makes its rule a bad one, and leaves the others", () => {
    const { policy: converted, badRules } = convertNetworkPolicy(
      policyOf({ ingress: [{ ports: [{ port: 90, endPort: 80 }] }, { ports: [{ port: 1 }] }] }),
    );
    expect(badRules).toEqual([
      {
        direction: "ingress",
        index: 0,
        reason:
          "k8s rule couldn't be converted: failed to parse k8s port: invalid port 90:80: " +
          "minimum port number (90) is greater than maximum port number (80) in port range",
      },
    ]);
    expect(converted.spec.ingress).toEqual([
      { action: "Allow", protocol: "TCP", destination: { ports: [1] } },
    ]);
  });
});

describe("convertClusterNetworkPolicy", () => {
  const convert = (spec: object) =>
    convertClusterNetworkPolicy({
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name: "p" },
      spec: { tier: "Admin", priority: 5, subject: { namespaces: {} }, ...spec } as never,
    });

  test.each([
    ["Accept is left out", "Accept", []],
    ["Deny denies all", "Deny", [{ action: "Deny" }]],
    ["Pass denies all", "Pass", [{ action: "Deny" }]],
  ])("a rule that cannot be converted fails closed: %s", (_, action, want) => {
    const converted = convert({ egress: [{ action, to: [{ domainNames: ["example.org"] }] }] });
    expect(converted?.policy.spec.egress ?? []).toEqual(want);
    expect(converted?.badRules).toMatchObject([{ direction: "egress", index: 0 }]);
  });

  test.each([
    ["of a tier that there is not", { tier: "Middle" }],
    ["without a subject", { subject: {} }],
  ])("a policy %s does nothing", (_, spec) => {
    expect(convert(spec)).toBeUndefined();
  });

  test("a named port has no protocol, ports of one protocol are together", () => {
    const converted = convert({
      ingress: [
        {
          name: "web",
          action: "Accept",
          from: [{ namespaces: {} }],
          protocols: [
            { destinationNamedPort: "http" },
            { tcp: { destinationPort: { number: 80 } } },
            { tcp: { destinationPort: { range: { start: 81, end: 90 } } } },
          ],
        },
      ],
    });
    const rule = {
      metadata: { annotations: { name: "web" } },
      action: "Allow",
      source: { namespaceSelector: "all()" },
    };
    expect(converted?.policy.spec.ingress).toEqual([
      { ...rule, destination: { ports: ["http"] } },
      { ...rule, protocol: "TCP", destination: { ports: ["80:90"] } },
    ]);
  });
});

describe("convertUid", () => {
  test("twice is none, but for the version and the variant, which stay", () => {
    fc.assert(
      fc.property(fc.uuid(), (uid) => {
        const converted = convertUid(uid) ?? "";
        expect(converted[14]).toBe(uid[14]);
        expect(convertUid(converted)).toBe(uid);
      }),
    );
  });

  test.each([[undefined], ["not-a-uuid"]])("of %s there is none", (uid) => {
    expect(convertUid(uid)).toBeUndefined();
  });
});

function policyOf(spec: NetworkPolicy["spec"]): NetworkPolicy {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "p", namespace: "red" },
    spec,
  };
}
