import type { KubeObject } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import {
  evaluate,
  type IpProtocol,
  icmpNumber,
  outsideEndpoint,
  type PolicyView,
  policyEndpoints,
  policyName,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ciliumPolicyReader } from "../../src/analyse/policy-reader.ts";

function pod(name: string, ip: string, node: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: name } },
    spec: {
      nodeName: node,
      containers: [{ name: "c", ports: [{ name: "pg", containerPort: 5432 }] }],
    },
    status: { podIP: ip },
  } as unknown as KubeObject;
}

function node(name: string, address: string, labels: object = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    status: { addresses: [{ type: "InternalIP", address }] },
  } as unknown as KubeObject;
}

const CLUSTER: readonly KubeObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop", labels: { team: "shop" } } },
  pod("api", "10.0.1.1", "n1"),
  pod("web", "10.0.1.2", "n1"),
  pod("db", "10.0.2.1", "n2"),
  node("n1", "192.168.0.1"),
  node("n2", "192.168.0.2", { role: "db" }),
];

function cnp(name: string, rule: object, kind = "CiliumNetworkPolicy"): KubeObject {
  const metadata = { name, ...(kind === "CiliumNetworkPolicy" && { namespace: "shop" }) };
  return { apiVersion: "cilium.io/v2", kind, metadata, spec: rule } as unknown as KubeObject;
}

const ccnp = (name: string, rule: object) => cnp(name, rule, "CiliumClusterwideNetworkPolicy");
const DB = { endpointSelector: { matchLabels: { app: "db" } } };
const from = (app: string) => ({ fromEndpoints: [{ matchLabels: { app } }] });
const at = (...ports: string[]) => ({
  toPorts: [{ ports: ports.map((port) => ({ port, protocol: "TCP" })) }],
});

function read(
  objects: readonly KubeObject[],
  options: Readonly<Record<string, string | boolean>> = {},
): PolicyView {
  const reader = ciliumPolicyReader.withOptions?.(options) ?? ciliumPolicyReader;
  return reader.read([...CLUSTER, ...objects]);
}

/** What is said of a flow, with the rule that says it. */
function ask(
  view: PolicyView,
  [source, destination]: readonly [string, string],
  [protocol, port]: readonly [IpProtocol, number],
): string {
  const known = new Map(policyEndpoints(CLUSTER).map((each) => [each.name, each]));
  const end = (name: string) => view.endpoint(known.get(name) ?? outsideEndpoint(parseIp(name)));
  const flow = { source: end(source), destination: end(destination), protocol, port };
  const verdict = evaluate(view.policies, flow, view.settings);
  const { steps } = verdict.egress.allowed ? verdict.ingress : verdict.egress;
  const step = steps.at(-1);
  const word = verdict.allowed ? "allowed" : "denied";
  if (step === undefined) return word;
  if (step.rule === undefined) return `${word}: end of ${step.told.map(policyName)}`;
  const { rule, policy } = step.rule;
  return `${word}: ${rule.path} of ${policyName(policy)}`;
}

const PG = ["TCP", 5432] as const;
const PING = ["ICMP", icmpNumber(8, 0)] as const;
const OUTSIDE = "203.0.113.9";

describe("Cilium's policies", () => {
  test.each<
    [
      string,
      readonly KubeObject[],
      readonly [string, string],
      readonly [IpProtocol, number],
      string,
    ]
  >([
    ["no policy", [], ["shop/web", "shop/db"], PG, "allowed"],
    [
      "an endpoint",
      [cnp("db", { ...DB, ingress: [{ ...from("api"), ...at("pg") }] })],
      ["shop/api", "shop/db"],
      PG,
      "allowed: spec.ingress[0] of CiliumNetworkPolicy shop/db",
    ],
    [
      "nothing fits",
      [cnp("db", { ...DB, ingress: [{ ...from("api"), ...at("pg") }] })],
      ["shop/web", "shop/db"],
      PG,
      "denied: end of CiliumNetworkPolicy shop/db",
    ],
    [
      "what denies comes first, whatever the names",
      [
        cnp("a", { ...DB, ingress: [from("web")] }),
        ccnp("z", {
          endpointSelector: {},
          ingressDeny: [{ fromEntities: ["cluster"], ...at("5432") }],
        }),
      ],
      ["shop/web", "shop/db"],
      PG,
      "denied: spec.ingressDeny[0] of CiliumClusterwideNetworkPolicy z",
    ],
    [
      "one that leaves open what it does not deny",
      [cnp("a", { ...DB, enableDefaultDeny: { ingress: false }, ingressDeny: [from("web")] })],
      ["shop/api", "shop/db"],
      PG,
      "allowed: end of CiliumNetworkPolicy shop/a",
    ],
    [
      "its own node",
      [cnp("db", { ...DB, ingress: [{}] })],
      ["node/n2", "shop/db"],
      PG,
      "allowed: data.allow-localhost of ConfigMap kube-system/cilium-config",
    ],
    [
      "another node",
      [cnp("db", { ...DB, ingress: [{}] })],
      ["node/n1", "shop/db"],
      PG,
      "denied: end of CiliumNetworkPolicy shop/db",
    ],
    [
      "a range with its node in it",
      [cnp("db", { ...DB, ingress: [{ fromCIDR: ["192.168.0.0/24", "10.0.0.0/8"] }] })],
      ["node/n1", "shop/db"],
      PG,
      "denied: end of CiliumNetworkPolicy shop/db",
    ],
    [
      "a range with a hole",
      [
        cnp("db", {
          ...DB,
          ingress: [{ fromCIDRSet: [{ cidr: "203.0.113.0/24", except: ["203.0.113.8/29"] }] }],
        }),
      ],
      [OUTSIDE, "shop/db"],
      PG,
      "denied: end of CiliumNetworkPolicy shop/db",
    ],
    [
      "ping",
      [
        cnp("db", {
          ...DB,
          ingress: [{ ...from("web"), icmps: [{ fields: [{ type: "EchoRequest" }] }] }],
        }),
      ],
      ["shop/web", "shop/db"],
      PING,
      "allowed: spec.ingress[0] of CiliumNetworkPolicy shop/db",
    ],
    [
      "one of several rules of an object",
      [
        {
          apiVersion: "cilium.io/v2",
          kind: "CiliumNetworkPolicy",
          metadata: { name: "db", namespace: "shop" },
          specs: [
            { ...DB, ingress: [from("api")] },
            { ...DB, ingress: [{}, from("web")] },
          ],
        } as unknown as KubeObject,
      ],
      ["shop/web", "shop/db"],
      PG,
      "allowed: specs[1].ingress[1] of CiliumNetworkPolicy shop/db",
    ],
    [
      "a NetworkPolicy's range, which means no pod",
      [
        {
          apiVersion: "networking.k8s.io/v1",
          kind: "NetworkPolicy",
          metadata: { name: "db", namespace: "shop" },
          spec: {
            podSelector: {},
            policyTypes: ["Ingress"],
            ingress: [{ from: [{ ipBlock: { cidr: "0.0.0.0/0" } }] }],
          },
        } as unknown as KubeObject,
      ],
      ["shop/web", "shop/db"],
      PG,
      "denied: end of NetworkPolicy shop/db",
    ],
  ])("%s", (_, objects, ends, what, expected) => {
    expect(ask(read(objects), ends, what)).toBe(expected);
  });

  test.each<
    [string, Readonly<Record<string, string | boolean>>, readonly [string, string], string]
  >([
    [
      "always",
      { policyEnforcementMode: "always" },
      ["shop/web", "shop/api"],
      "denied: end of ConfigMap kube-system/cilium-config",
    ],
    ["never", { policyEnforcementMode: "never" }, ["shop/web", "shop/db"], "allowed"],
    ["audit", { policyAuditMode: true }, ["shop/web", "shop/db"], "allowed"],
    [
      "host firewall",
      { "hostFirewall.enabled": true },
      [OUTSIDE, "node/n2"],
      "denied: end of CiliumClusterwideNetworkPolicy nodes",
    ],
    ["no host firewall", {}, [OUTSIDE, "node/n2"], "allowed"],
    [
      "host firewall, another node",
      { "hostFirewall.enabled": true },
      [OUTSIDE, "node/n1"],
      "allowed",
    ],
  ])("setting: %s", (_, options, ends, expected) => {
    const objects = [
      cnp("db", { ...DB, ingress: [{}] }),
      ccnp("nodes", {
        nodeSelector: { matchLabels: { role: "db" } },
        ingress: [{ fromEntities: ["cluster"] }],
      }),
    ];
    expect(ask(read(objects, options), ends, PG)).toBe(expected);
  });

  test("a rule that has a proxy look into connections says so", () => {
    const http = {
      toPorts: [
        {
          ports: [{ port: "5432", protocol: "TCP" }],
          rules: { http: [{ method: "GET", path: "/public" }] },
        },
      ],
    };
    const { policies } = read([
      cnp("db", { ...DB, ingress: [from("api"), { ...from("web"), ...http }] }),
    ]);
    expect(
      policies.flatMap(({ ingress = [] }) => ingress.map(({ provided }) => provided)),
    ).toContain("a proxy lets it through: HTTP GET /public");
  });
});

test("rules that contradict each other are told of, with who has them", () => {
  const at = (rules: object) => [{ ports: [{ port: "80", protocol: "TCP" }], rules }];
  const { ignored } = read([
    cnp("http", { ...DB, ingress: [{ ...from("api"), toPorts: at({ http: [{ path: "/a" }] }) }] }),
    cnp("kafka", {
      ...DB,
      ingress: [{ ...from("api"), toPorts: at({ kafka: [{ topic: "a" }] }) }],
    }),
  ]);
  expect(ignored.map(({ object, reason }) => [object.metadata.name, reason])).toEqual([
    [
      "db",
      "its policies contradict each other, so that its pods keep what they had: cannot merge conflicting L7 parsers (http/kafka)",
    ],
  ]);
});

describe("what is left out is told, with the reason", () => {
  test.each<[string, KubeObject, RegExp]>([
    [
      "what an agent refuses",
      cnp("p", { ...DB, ingress: [{ fromEntities: ["world"], fromCIDR: ["10.0.0.0/8"] }] }),
      /^spec\.ingress\[0\]\.fromEntities cannot stand beside fromCIDR/,
    ],
    ["a rule about nothing", cnp("p", DB), /^spec must have a rule/],
    [
      "groups of a cloud",
      cnp("p", { ...DB, egress: [{ toGroups: [{ aws: { region: "eu-1" } }] }] }),
      /groups of a cloud/,
    ],
    ["nodes", ccnp("p", { nodeSelector: {}, ingress: [{}] }), /hostFirewall\.enabled=true/],
    [
      "kinds that come later",
      {
        apiVersion: "policy.networking.k8s.io/v1alpha2",
        kind: "ClusterNetworkPolicy",
        metadata: { name: "p" },
        spec: { tier: "Admin", priority: 1, subject: { namespaces: {} } },
      } as unknown as KubeObject,
      /Cilium 1\.18 does not read/,
    ],
  ])("%s", (_, object, reason) => {
    const { ignored, policies } = read([object]);
    expect(ignored.map((each) => each.reason)).toEqual([expect.stringMatching(reason)]);
    expect(policies.filter(({ isBuiltIn }) => isBuiltIn !== true)).toEqual([]);
  });

  test("whatever stands in a rule, it is read or left out with one reason", () => {
    const value: fc.Arbitrary<unknown> = fc.oneof(
      fc.constantFrom("0", "80", "x", "10.0.0.0/8", "::/0", "a b", "", "65536", "world", "*"),
      fc.constantFrom({}, { matchLabels: { "a/b/c": "d" } }, { matchLabels: { app: "db" } }),
    );
    const text = value.filter((each) => typeof each === "string");
    const selector = value.filter((each) => typeof each === "object");
    const list = (of: fc.Arbitrary<unknown>) => fc.array(of, { maxLength: 2 });
    const rule = fc.record(
      {
        fromEndpoints: list(selector),
        fromCIDR: list(text),
        fromEntities: list(text),
        fromCIDRSet: list(fc.record({ cidr: text, except: list(text) }, { requiredKeys: [] })),
        toPorts: list(
          fc.record({
            ports: list(fc.record({ port: text, protocol: fc.constantFrom("TCP", "ANY", "x") })),
          }),
        ),
        icmps: list(fc.record({ fields: list(fc.record({ type: text })) })),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(list(rule), list(rule), selector, (ingress, ingressDeny, endpointSelector) => {
        const { policies, ignored } = read([cnp("p", { endpointSelector, ingress, ingressDeny })]);
        const written = policies.filter(({ isBuiltIn }) => isBuiltIn !== true);
        expect(written.length + ignored.length).toBe(1);
        for (const { reason } of ignored) expect(reason).toMatch(/^[^\n]{1,300}$/);
      }),
      { numRuns: 1000, seed: 9 },
    );
  });
});
