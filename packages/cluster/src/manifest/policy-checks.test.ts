import { describe, expect, test } from "vitest";
import { parseManifests } from "./parse-manifests.ts";

const KINDS = {
  NetworkPolicy: "networking.k8s.io/v1",
  AdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  BaselineAdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  ClusterNetworkPolicy: "policy.networking.k8s.io/v1alpha2",
} as const;
type PolicyKind = keyof typeof KINDS;

function parse(kind: PolicyKind, spec: string, name = "default"): string {
  const text = `apiVersion: ${KINDS[kind]}\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
  try {
    parseManifests(text, "p.yaml");
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("policies that the API server takes", () => {
  test.each<[PolicyKind, string]>([
    ["NetworkPolicy", "{}"],
    [
      "NetworkPolicy",
      "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: []}",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{ports: [{port: 80, endPort: 80}, {protocol: SCTP}, {port: http}]}]}",
    ],
    ["AdminNetworkPolicy", "{priority: 0, subject: {namespaces: {}}}"],
    [
      "AdminNetworkPolicy",
      "{priority: 1000, subject: {pods: {namespaceSelector: {}, podSelector: {}}}, egress: [{action: Pass, to: [{networks: [::/0]}, {nodes: {}}]}]}",
    ],
    [
      "BaselineAdminNetworkPolicy",
      "{subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}",
    ],
    [
      "ClusterNetworkPolicy",
      "{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: ['*.example.org']}], protocols: [{tcp: {destinationPort: {range: {start: 1, end: 2}}}}]}]}",
    ],
  ])("%s %s", (kind, spec) => {
    expect(parse(kind, spec)).toBe("");
  });
});

describe("policies that it refuses", () => {
  test.each<[PolicyKind, string, string]>([
    ["NetworkPolicy", "{ingres: []}", "spec.ingres is no field there"],
    ["NetworkPolicy", "{ingress: [{form: []}]}", "spec.ingress[0].form is no field there"],
    ["NetworkPolicy", "{ingress: [{from: [{}]}]}", "spec.ingress[0].from[0] must have podSelector"],
    ["NetworkPolicy", "{policyTypes: [ingress]}", "spec.policyTypes[0] must be Ingress or Egress"],
    [
      "NetworkPolicy",
      "{policyTypes: [Ingress, Ingress, Egress]}",
      "spec.policyTypes must have at most 2",
    ],
    [
      "NetworkPolicy",
      "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}",
      "spec.egress[0].to[0].ipBlock.except[0] must be a part of cidr 10.0.0.0/8",
    ],
    [
      "NetworkPolicy",
      "{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
      "spec.egress[0].to[0].ipBlock.except[0] must be a part of cidr",
    ],
    [
      "NetworkPolicy",
      "{podSelector: {matchExpressions: [{key: a, operator: In}]}}",
      "spec.podSelector.matchExpressions[0].values must have at least one value",
    ],
    [
      "NetworkPolicy",
      "{podSelector: {matchExpressions: [{key: a, operator: In, values: ['a b']}]}}",
      "spec.podSelector.matchExpressions[0].values[0] must be at most 63 letters",
    ],
    [
      "NetworkPolicy",
      "{ingress: [{ports: [{endPort: 90}]}]}",
      "spec.ingress[0].ports[0].endPort needs a numeric port",
    ],
    ["NetworkPolicy", "{ingress: [{ports: [{port: 0}]}]}", "spec.ingress[0].ports[0].port must be"],
    [
      "NetworkPolicy",
      "{ingress: [{ports: [{protocol: tcp}]}]}",
      "spec.ingress[0].ports[0].protocol must be TCP, UDP or SCTP",
    ],
    ["AdminNetworkPolicy", "{subject: {namespaces: {}}}", "spec.priority is required"],
    [
      "AdminNetworkPolicy",
      "{priority: 1001, subject: {namespaces: {}}}",
      "spec.priority must be a whole number between 0 and 1000",
    ],
    [
      "AdminNetworkPolicy",
      "{priority: 1, subject: {}}",
      "spec.subject must have exactly one of namespaces, pods",
    ],
    [
      "AdminNetworkPolicy",
      "{priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}",
      "spec.ingress[0].action must be Allow, Deny or Pass",
    ],
    [
      "AdminNetworkPolicy",
      "{priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: []}]}",
      "spec.ingress[0].from must have at least 1 item",
    ],
    [
      "AdminNetworkPolicy",
      "{priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]}",
      "spec.ingress[0].from[0].networks is no field there",
    ],
    [
      "AdminNetworkPolicy",
      "{priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}], ports: [{namedPort: http}]}]}",
      "spec.egress[0].ports[0].namedPort cannot stand beside nodes",
    ],
    [
      "AdminNetworkPolicy",
      "{priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}], ports: [{portRange: {start: 9, end: 8}}]}]}",
      "spec.egress[0].ports[0].portRange.end must be more than start 9",
    ],
    [
      "BaselineAdminNetworkPolicy",
      "{subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}}]}]}",
      "spec.ingress[0].action must be Allow or Deny",
    ],
    ["ClusterNetworkPolicy", "{priority: 1, subject: {namespaces: {}}}", "spec.tier is required"],
    [
      "ClusterNetworkPolicy",
      "{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{domainNames: [a.example.org]}]}]}",
      "spec.egress[0].to[0].domainNames can only be accepted",
    ],
    [
      "ClusterNetworkPolicy",
      "{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {}}}]}]}",
      "spec.ingress[0].protocols[0].tcp.destinationPort must have exactly one of number, range",
    ],
  ])("%s %s", (kind, spec, message) => {
    expect(parse(kind, spec)).toContain(message);
  });

  test("a baseline policy of another name", () => {
    const message = parse("BaselineAdminNetworkPolicy", "{subject: {namespaces: {}}}", "other");
    expect(message).toContain("metadata.name must be default");
  });
});
