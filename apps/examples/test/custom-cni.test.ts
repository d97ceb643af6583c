import { readFileSync } from "node:fs";
import { createCluster, parseManifests } from "@cnilab/cluster";
import { isAddOn } from "@cnilab/core";
import { registerCoreDns } from "@cnilab/dns";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { describe, expect, test } from "vitest";
import { routed } from "../custom-cni/routed.ts";

const file = new URL("../custom-cni/routed.ts", import.meta.url);
const shop = new URL("../shop/shop.yaml", import.meta.url);

/** A pod behind no Service: a pod that meets itself behind one is masqueraded by kube-proxy. */
const VISITOR = `
apiVersion: v1
kind: Pod
metadata: { name: visitor, namespace: shop }
spec: { nodeName: node1, containers: [{ name: curl, image: curl }] }
`;

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
      register: (root) => {
        registerKubeProxy(root);
        registerCoreDns(root);
      },
    });
    cluster.apply(parseManifests(readFileSync(shop, "utf8"), "shop.yaml").objects);
    cluster.apply(parseManifests(VISITOR, "visitor.yaml").objects);
    await cluster.settled();
    const from = cluster.endpoint("shop/visitor");
    const own = cluster.api.get("Pod", "shop/visitor")?.status?.podIPs?.map(({ ip }) => ip);
    const services = cluster.api
      .list("Service")
      .filter((s) => s.metadata.namespace !== "default" && !isAddOn(s));
    expect(services).toHaveLength(11);
    for (const { metadata, spec } of services) {
      const port = spec.ports?.[0];
      const { verdict, seenAs } = cluster.connect({
        from,
        to: cluster.endpoint(`${metadata.name}.${metadata.namespace}`),
        port: port?.port,
        protocol: port?.protocol ?? "TCP",
      });
      expect([metadata.name, verdict, own?.includes(seenAs ?? "")]).toEqual([
        metadata.name,
        "allowed",
        true,
      ]);
    }
  });

  test("whoever is outside sees the node", async () => {
    const cluster = createCluster({ cni: routed, config: { ipFamilies } });
    cluster.apply(parseManifests(VISITOR, "visitor.yaml").objects);
    await cluster.settled();
    const node = cluster.api.get("Node", "node1")?.status?.addresses?.map((a) => a.address);
    const request = { from: cluster.endpoint("shop/visitor"), to: cluster.endpoint("internet:80") };
    const { verdict, seenAs } = cluster.connect(request);
    expect([verdict, node?.includes(seenAs ?? "")]).toEqual(["allowed", true]);
  });
});
