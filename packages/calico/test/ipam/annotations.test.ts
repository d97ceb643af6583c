import type { ApiClient } from "@cnilab/core";
import { familyOf, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { IpamError } from "../../src/ipam/ipam-error.ts";
import { type PodRequest, podRequest } from "../../src/ipam/pod-request.ts";
import { poolOf } from "../../src/ipam/pool.ts";

const POOLS = ["10.0.0.0/16", "fd00::/64"].map((cidr, i) =>
  poolOf({
    apiVersion: "projectcalico.org/v3",
    kind: "IPPool",
    metadata: { name: `pool-${i}` },
    spec: { cidr },
  }),
);

/** An API server that knows one namespace. */
function apiWith(annotations: Readonly<Record<string, string>>): ApiClient {
  const namespace = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "ns", annotations, labels: { team: "a" } },
  };
  return { get: () => namespace } as unknown as ApiClient;
}

function request(
  annotations: Readonly<Record<string, string>>,
  ofNamespace: Readonly<Record<string, string>> = {},
): PodRequest {
  const pod = { namespace: "ns", name: "pod", uid: "1", labels: {}, annotations };
  return podRequest(pod, [4], apiWith(ofNamespace), POOLS);
}

const V4_POOLS = "cni.projectcalico.org/ipv4pools";
const FAMILIES = "cni.projectcalico.org/ipFamilies";
const ADDRESSES = "cni.projectcalico.org/ipAddrs";

test("a pod's word counts before its namespace's, but for addresses, of which only the pod has one", () => {
  const found = request(
    { [V4_POOLS]: '["pool-0"]' },
    { [V4_POOLS]: '["10.9.0.0/16"]', [FAMILIES]: '["IPv6", "IPv4"]', [ADDRESSES]: '["10.0.0.1"]' },
  );
  expect(found).toEqual({
    addresses: [],
    families: [6, 4],
    pools: { 4: [parsePrefix("10.0.0.0/16")] },
    namespaceLabels: { team: "a" },
  });
});

const item = fc.oneof(
  fc.constantFrom(
    "pool-0",
    "pool-1",
    "10.0.0.0/16",
    "fd00::/64",
    "IPv4",
    "IPv6",
    "10.0.0.1",
    "fd00::1",
  ),
  fc.string(),
  fc.ipV4(),
  fc.ipV6(),
);
const text = fc.oneof(
  fc.array(item, { maxLength: 3 }).map((list) => JSON.stringify(list)),
  fc.json(),
  fc.string(),
);

test("whatever an annotation says is understood, or refused in one sentence", () => {
  const keys = [V4_POOLS, "cni.projectcalico.org/ipv6pools", FAMILIES, ADDRESSES];
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), text), (annotations) => {
      let found: PodRequest;
      try {
        found = request(annotations);
      } catch (error) {
        expect(error).toBeInstanceOf(IpamError);
        expect((error as Error).message).not.toBe("");
        return;
      }
      for (const family of [4, 6] as const) {
        expect(found.pools[family]?.every((pool) => pool.family === family) ?? true).toBe(true);
        expect(found.addresses.filter((ip) => familyOf(ip) === family).length).toBeLessThan(2);
      }
    }),
  );
});
