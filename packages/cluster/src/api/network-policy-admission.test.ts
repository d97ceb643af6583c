import type { NetworkPolicy } from "@cnilab/core";
import { expect, test } from "vitest";
import { NETWORK_POLICY_ADMISSION } from "./network-policy-admission.ts";

test.each<[NetworkPolicy["spec"], readonly string[]]>([
  [{}, ["Ingress"]],
  [{ policyTypes: [] }, ["Ingress"]],
  [{ ingress: [{}] }, ["Ingress"]],
  [{ egress: [] }, ["Ingress"]],
  [{ egress: [{}] }, ["Ingress", "Egress"]],
  [{ policyTypes: ["Egress"], ingress: [{}] }, ["Egress"]],
])("a policy with %j is about %j", (spec, expected) => {
  const policy: NetworkPolicy = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "a", namespace: "default" },
    spec,
  };
  expect(NETWORK_POLICY_ADMISSION.create?.(policy).spec.policyTypes).toEqual(expected);
});
