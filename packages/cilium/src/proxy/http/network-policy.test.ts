import { HttpRequest } from "@cnilab/linux";
import { describe, expect, test } from "vitest";
import type { CiliumNetworkPolicy } from "../../api/v2/network-policy.ts";
import { parseLabels } from "../../labels/label-set.ts";
import { ciliumPolicyRules } from "../../policy/cilium-policy.ts";
import { redirectsOf } from "../../policy/endpoint-policy.ts";
import { PolicyRepository } from "../../policy/policy-repository.ts";
import { DEFAULT_POLICY_SETTINGS } from "../../policy/policy-settings.ts";
import { DnsRules } from "../dns/dns-rules.ts";
import { ProxyNetworkPolicy } from "./network-policy.ts";

const [WEB, CLIENT, OTHER, DNS] = [30001, 30002, 30003, 30004];
const LABELS = new Map(
  (
    [
      [WEB, "web"],
      [CLIENT, "client"],
      [OTHER, "other"],
      [DNS, "dns"],
    ] as const
  ).map(([identity, app]) => {
    const namespace = "k8s:io.kubernetes.pod.namespace=default";
    return [identity, parseLabels([`k8s:app=${app}`, namespace])] as const;
  }),
);
const labelsOf = (identity: number) => LABELS.get(identity);

/** The policy of the pod `web` by one or more specs. */
function resolved(...specs: readonly object[]) {
  const repository = new PolicyRepository(DEFAULT_POLICY_SETTINGS);
  specs.forEach((spec, i) => {
    const policy = {
      apiVersion: "cilium.io/v2",
      kind: "CiliumNetworkPolicy",
      metadata: { name: `p${i}`, namespace: "default" },
      spec: { endpointSelector: { matchLabels: { app: "web" } }, ...spec },
    } as CiliumNetworkPolicy;
    repository.replace(`p${i}`, ciliumPolicyRules(policy, DEFAULT_POLICY_SETTINGS));
  });
  return repository.resolve({ identity: WEB, labels: LABELS.get(WEB) ?? [] });
}

const from = (app: string) => ({ fromEndpoints: [{ matchLabels: { app } }] });
const at80 = (rules?: object) => ({
  toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], ...(rules && { rules }) }],
});

describe("requests", () => {
  const rules = [{ method: "GET", path: "/a" }];
  const policy = resolved(
    { ingress: [{ ...from("client"), ...at80({ http: rules }) }] },
    { ingress: [{ ...from("other"), ...at80() }] },
    { ingress: [{ ...at80({ http: [{ path: "/b" }] }) }] },
  );
  const judge = new ProxyNetworkPolicy(policy, { namedPort: () => 0 }, labelsOf, () => undefined);

  test.each([
    ["client", CLIENT, 80, "/a", true],
    ["client", CLIENT, 80, "/b", true],
    ["client", CLIENT, 80, "/c", false],
    ["other", OTHER, 80, "/c", true],
    ["somebody", 99, 80, "/b", true],
    ["somebody", 99, 80, "/a", false],
    ["client", CLIENT, 81, "/a", false],
  ])("of %s (%i) at %i for %s: %s", (_name, remote, port, path, expected) => {
    const connection = { direction: "ingress", port, remote, serverName: undefined } as const;
    const matched = judge.matchRequest(connection, new HttpRequest({ path }));
    expect(matched !== undefined).toBe(expected);
  });

  test("nothing is judged in a direction without rules", () => {
    const connection = { direction: "egress", port: 1, remote: 99, serverName: undefined } as const;
    expect(judge.allowsConnection(connection)).toBe(true);
  });

  test("of who is denied are not, whatever else allows them", () => {
    const denied = resolved(
      { ingress: [{ ...from("client"), ...at80({ http: [{}] }) }] },
      { ingressDeny: [from("client")] },
    );
    const own = new ProxyNetworkPolicy(denied, { namedPort: () => 0 }, labelsOf, () => undefined);
    const connection = {
      direction: "ingress",
      port: 80,
      remote: CLIENT,
      serverName: undefined,
    } as const;
    expect(own.allowsConnection(connection)).toBe(false);
  });
});

// Patterns as cilium/network_policy.cc makes them (SniPattern).
test.each([
  ["shop.example.com", "shop.example.com", true],
  ["shop.example.com", "Shop.Example.COM", true],
  ["shop.example.com", "shopXexample.com", false],
  ["*.example.com", "a.example.com", true],
  ["*.example.com", "a.b.example.com", false],
  ["*.example.com", "example.com", false],
  ["**.example.com", "a.b.example.com", true],
  ["**.example.com", "example.com", false],
  ["a*.example.com", "abc.example.com", true],
  ["*", "anything.at.all", true],
  ["shop.example.com", undefined, false],
])("server name %s lets %s pass: %s", (serverName, asked, expected) => {
  const toPorts = [{ ports: [{ port: "443", protocol: "TCP" }], serverNames: [serverName] }];
  const policy = resolved({ egress: [{ toPorts }] });
  const judge = new ProxyNetworkPolicy(policy, { namedPort: () => 0 }, labelsOf, () => undefined);
  const connection = { direction: "egress", port: 443, remote: 99, serverName: asked } as const;
  expect(judge.allowsConnection(connection)).toBe(expected);
});

describe("questions of DNS", () => {
  const rules = new DnsRules(labelsOf);
  const owner = { endpointId: 7, isHost: false, namedPort: () => 0, proxyPort: () => 0 };
  const to = (dns: readonly object[], protocol = "ANY") => ({
    toEndpoints: [{ matchLabels: { app: "dns" } }],
    toPorts: [{ ports: [{ port: "53", protocol }], rules: { dns } }],
  });
  const policy = resolved({
    egress: [to([{ matchName: "api.example.com" }, { matchPattern: "*.svc.cluster.local" }])],
  });
  rules.set(7, redirectsOf(policy, owner));

  test.each([
    [7, DNS, 17, 53, "api.example.com.", true],
    [7, DNS, 6, 53, "API.example.com", true],
    [7, DNS, 17, 53, "a.api.example.com.", false],
    [7, DNS, 17, 53, "web.svc.cluster.local.", true],
    [7, DNS, 17, 53, "web.default.svc.cluster.local.", false],
    [7, OTHER, 17, 53, "api.example.com.", false],
    [7, DNS, 17, 5353, "api.example.com.", false],
    [8, DNS, 17, 53, "api.example.com.", false],
  ])(
    "of endpoint %i to %i by %i port %i for %s: %s",
    (id, identity, protocol, port, name, expected) => {
      expect(rules.allows(id, { protocol, port, identity }, name)).toBe(expected);
    },
  );

  test("are nobody's once the rules are gone", () => {
    rules.set(7, []);
    expect(rules.allows(7, { protocol: 17, port: 53, identity: DNS }, "api.example.com")).toBe(
      false,
    );
  });
});
