import { expect, test } from "vitest";
import { deployment, networkPolicy, objectsOf } from "../../test/manifests.ts";
import { findings } from "./findings.ts";

const APP = `${deployment("a", "{name: c, ports: [{name: http, containerPort: 80}]}")}${deployment("b")}`;
const CLOSED = networkPolicy("closed", "{podSelector: {}}");
const admin = (name: string, priority: number) => `
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: ${name}}
spec: {priority: ${priority}, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}}]}]}
`;

test.each<[string, string, string[]]>([
  ["nothing", CLOSED, []],
  ["an open namespace", "", ["Namespace default: no-default-deny"]],
  [
    "a policy for nobody",
    CLOSED + networkPolicy("p", "{podSelector: {matchLabels: {app: x}}}"),
    ["NetworkPolicy default/p: selects-no-pod"],
  ],
  [
    "a rule for a peer that is not there",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}]}]}",
      ),
    ["NetworkPolicy default/p spec.ingress[0]: rule-without-peer"],
  ],
  [
    "a rule for the DNS, which is everywhere",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}]}",
      ),
    [],
  ],
  [
    "a port that nobody has",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, ingress: [{ports: [{port: 81}]}]}",
      ),
    ["NetworkPolicy default/p spec.ingress[0]: undeclared-port"],
  ],
  [
    "a name that nobody has",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, ingress: [{ports: [{port: web}]}]}",
      ),
    ["NetworkPolicy default/p spec.ingress[0]: undeclared-port"],
  ],
  [
    "a port and a name that it has",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, ingress: [{ports: [{port: 80}, {port: http}]}]}",
      ),
    [],
  ],
  [
    "a rule inside of another",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {}}]}]}",
      ) +
      networkPolicy(
        "q",
        "{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}]}]}",
      ),
    ["NetworkPolicy default/q spec.ingress[0]: covered-rule"],
  ],
  [
    "equal priorities",
    CLOSED + admin("x", 5) + admin("y", 5),
    [
      "AdminNetworkPolicy y spec.priority: equal-priority",
      "AdminNetworkPolicy y spec.ingress[0]: covered-rule",
    ],
  ],
  [
    "a way out that is no way in",
    CLOSED +
      networkPolicy(
        "p",
        "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: b}}}]}]}",
      ),
    ["default/a[Deployment]: one-sided"],
  ],
])("%s", (_, policies, expected) => {
  const found = findings(objectsOf(APP + policies)).map(
    ({ object, path, kind }) => `${object}${path === undefined ? "" : ` ${path}`}: ${kind}`,
  );
  expect([...found].sort()).toEqual([...expected].sort());
});
