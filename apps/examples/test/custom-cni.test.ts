import { readFileSync } from "node:fs";
import { createCluster, parseManifests } from "@cnilab/cluster";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { describe, expect, test } from "vitest";
import { routed } from "../custom-cni/routed.ts";

const file = new URL("../custom-cni/routed.ts", import.meta.url);
const shop = new URL("../shop/shop.yaml", import.meta.url);

test("stays small", () => {
  expect(readFileSync(file, "utf8").split("\n").length).toBeLessThan(200);
});

describe.each([
  ["IPv4", [4]],
  ["IPv6", [6]],
  ["dual-stack", [4, 6]],
] as const)("the shop on it, %s", (_name, ipFamilies) => {
  test("every Service answers, and servers see the pod's own address", async () => {
    const cluster = createCluster({
      cni: routed,
      config: { ipFamilies },
      register: (root) => registerKubeProxy(root),
    });
    cluster.apply(parseManifests(readFileSync(shop, "utf8"), "shop.yaml").objects);
    await cluster.settled();
    const from = cluster.endpoint("shop/deploy/checkout");
    const client = cluster.api
      .list("Pod", "shop")
      .find((p) => p.metadata.name.startsWith("checkout"));
    const services = cluster.api.list("Service").filter((s) => s.metadata.namespace !== "default");
    expect(services).toHaveLength(11);
    for (const { metadata, spec } of services) {
      const port = spec.ports?.[0];
      const answer = cluster.connect({
        from,
        to: cluster.endpoint(`${metadata.name}.${metadata.namespace}`),
        port: port?.port,
        protocol: port?.protocol ?? "TCP",
      });
      expect(`${metadata.name} ${answer.verdict}`).toBe(`${metadata.name} allowed`);
      const own = client?.status?.podIPs?.map(({ ip }) => ip) ?? [];
      expect(own).toContain(answer.seenAs);
    }
  });
});
