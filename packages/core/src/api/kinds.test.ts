import { expect, test } from "vitest";
import { isPolicyKind, kindOf } from "./kinds.ts";

test.each([
  ["v1", "Pod", "Pod"],
  ["apps/v1", "Deployment", "Deployment"],
  ["networking.k8s.io/v1", "NetworkPolicy", "NetworkPolicy"],
  ["gateway.networking.x-k8s.io/v1alpha1", "XListenerSet", "XListenerSet"],
  ["projectcalico.org/v3", "NetworkPolicy", "NetworkPolicy.projectcalico.org"],
  ["crd.antrea.io/v1beta1", "Tier", "Tier.crd.antrea.io"],
  ["notk8s.io/v1", "Service", "Service.notk8s.io"],
])("%s %s is kept as %s", (apiVersion, kind, expected) => {
  expect(kindOf({ apiVersion, kind })).toBe(expected);
});

test.each([
  ["NetworkPolicy", true],
  ["StagedGlobalNetworkPolicy.projectcalico.org", true],
  ["CiliumClusterwideNetworkPolicy.cilium.io", true],
  ["NetworkPolicySet.example.com", false],
  ["BackendTLSPolicy", false],
])("%s is a kind of policies: %j", (kind, expected) => {
  expect(isPolicyKind(kind)).toBe(expected);
});
