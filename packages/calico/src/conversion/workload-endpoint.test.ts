import type { Pod } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { modelWorkloadEndpoint } from "./model-endpoints.ts";
import { hasWorkloadEndpoint, isFinished, workloadEndpointOf } from "./workload-endpoint.ts";

const POD: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "blue", labels: { app: "web", "pcns.team": "red" } },
  spec: { nodeName: "node-a", containers: [] },
};

describe("workloadEndpointOf", () => {
  test.each<[string, PodParts, string[]]>([
    [
      "as the kubelet says",
      { status: { podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] } },
      ["10.0.0.1/32", "fd00::1/128"],
    ],
    ["as the kubelet says of one", { status: { podIP: "10.0.0.1" } }, ["10.0.0.1/32"]],
    [
      "as the plugin wrote",
      { annotations: { "cni.projectcalico.org/podIPs": "10.0.0.1/32,fd00::1/128" } },
      ["10.0.0.1/32", "fd00::1/128"],
    ],
    [
      "as the plugin wrote of one",
      { annotations: { "cni.projectcalico.org/podIP": "10.0.0.1/32" } },
      ["10.0.0.1/32"],
    ],
    ["none of a pod that has ended", { status: { podIP: "10.0.0.1", phase: "Succeeded" } }, []],
    [
      "none of a pod whose network is gone",
      {
        status: { podIP: "10.0.0.1" },
        annotations: { "cni.projectcalico.org/podIP": "" },
        deletionTimestamp: "2026-01-01T00:00:00Z",
      },
      [],
    ],
  ])("addresses: %s", (_, { status, ...metadata }: PodParts, want) => {
    expect(workloadEndpointOf(podWith({ status, ...metadata })).spec.ipNetworks).toEqual(want);
  });

  test("floating IPs lead to the address of their family", () => {
    const pod = podWith({
      status: { podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] },
      annotations: { "cni.projectcalico.org/floatingIPs": '["1.2.3.4", "2001:db8::1"]' },
    });
    expect(workloadEndpointOf(pod).spec.ipNATs).toEqual([
      { internalIP: "10.0.0.1", externalIP: "1.2.3.4" },
      { internalIP: "fd00::1", externalIP: "2001:db8::1" },
    ]);
  });

  test.each([
    ["an address", { status: { podIP: "nowhere" } }, "invalid CIDR address: nowhere"],
    [
      "floating IPs",
      { annotations: { "cni.projectcalico.org/floatingIPs": "1.2.3.4" } },
      "failed to parse '1.2.3.4' as JSON",
    ],
    [
      "allowed sources",
      { annotations: { "cni.projectcalico.org/allowedSourcePrefixes": '["x"]' } },
      "failed to parse 'x' as a CIDR",
    ],
  ])("refuses %s that cannot be read", (_, parts: PodParts, message) => {
    expect(() => workloadEndpointOf(podWith({ status: { podIP: "10.0.0.1" }, ...parts }))).toThrow(
      message,
    );
  });

  test("a pod cannot pretend to be in another namespace, and a long account's name is a label all the same", () => {
    const account = "a".repeat(80);
    const endpoint = workloadEndpointOf(podWith({ status: { podIP: "10.0.0.1" } }), account);
    expect(endpoint.metadata.labels).not.toHaveProperty("projectcalico.org/serviceaccount");
    expect(Object.fromEntries(modelWorkloadEndpoint(endpoint)?.labels ?? [])).toEqual({
      app: "web",
      "projectcalico.org/namespace": "blue",
      "projectcalico.org/orchestrator": "k8s",
      "projectcalico.org/serviceaccount": account,
    });
  });

  test("nothing to render without an address", () => {
    expect(modelWorkloadEndpoint(workloadEndpointOf(POD))).toBeUndefined();
  });
});

test.each([
  ["on a node", POD, true],
  ["on its node's network", { ...POD, spec: { ...POD.spec, hostNetwork: true } }, false],
  ["on no node", { ...POD, spec: { containers: [] } }, false],
])("a pod %s", (_, pod: Pod, want) => {
  expect(hasWorkloadEndpoint(pod)).toBe(want);
});

test("a pod that is deleted has its address until the plugin says otherwise", () => {
  const deleted = { deletionTimestamp: "2026-01-01T00:00:00Z" };
  expect(isFinished(podWith(deleted))).toBe(false);
  expect(
    isFinished(
      podWith({ ...deleted, annotations: { "cni.projectcalico.org/podIP": "10.0.0.1/32" } }),
    ),
  ).toBe(false);
});

interface PodParts {
  readonly status?: Partial<NonNullable<Pod["status"]>> | undefined;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
}

function podWith({ status, ...metadata }: PodParts): Pod {
  return {
    ...POD,
    metadata: { ...POD.metadata, ...metadata },
    status: { phase: "Running", ...status },
  };
}
