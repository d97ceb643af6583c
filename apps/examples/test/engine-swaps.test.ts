import { readFileSync } from "node:fs";
import { checkIpam, IpamClient } from "@cnilab/calico";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import { conformance } from "@cnilab/conformance";
import { type CniModel, isAddOn, type Kind, type KubeObject } from "@cnilab/core";
import { registerCoreDns } from "@cnilab/dns";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { type IpFamily, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { canal } from "../engine-swaps/canal.ts";
import { flannelWithCalicoIpam } from "../engine-swaps/flannel-with-calico-ipam.ts";

const shop = new URL("../shop/shop.yaml", import.meta.url);

/** A pod behind no Service: a pod that meets itself behind one is masqueraded by kube-proxy. */
const VISITOR = `
apiVersion: v1
kind: Pod
metadata: { name: visitor, namespace: shop }
spec: { nodeName: node1, containers: [{ name: curl, image: curl }] }
`;

async function bringUp(cni: CniModel, ipFamilies: readonly IpFamily[]): Promise<Cluster> {
  const cluster = createCluster({
    cni,
    config: { ipFamilies },
    register: (root) => {
      registerKubeProxy(root);
      registerCoreDns(root);
    },
  });
  cluster.apply(parseManifests(readFileSync(shop, "utf8"), "shop.yaml").objects);
  cluster.apply(parseManifests(VISITOR, "visitor.yaml").objects);
  await cluster.settled();
  return cluster;
}

function policy(metadata: object, spec: object): KubeObject {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata,
    spec,
  } as unknown as KubeObject;
}

test.each(["canal", "flannel-with-calico-ipam"])(
  "%s takes no more than 30 lines of injection",
  (name) => {
    const text = readFileSync(new URL(`../engine-swaps/${name}.ts`, import.meta.url), "utf8");
    const injection = text.slice(text.indexOf("  register(")).split("\n");
    expect(injection.filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(32);
  },
);

describe.each([
  ["Canal", canal],
  ["Flannel with Calico's IPAM", flannelWithCalicoIpam],
] as const)("%s", (_, model) => {
  describe.each([
    ["IPv4", [4]],
    ["dual-stack", [4, 6]],
  ] as const)("the shop on it, %s", (_name, ipFamilies) => {
    test("every Service answers, and servers see the pod's own address", async () => {
      const cluster = await bringUp(model, ipFamilies);
      const from = cluster.endpoint("shop/visitor");
      const own = cluster.api.get("Pod", "shop/visitor")?.status?.podIPs?.map(({ ip }) => ip);
      expect(own).toHaveLength(ipFamilies.length);
      const services = cluster.api
        .list("Service")
        .filter((s) => s.metadata.namespace === "shop" && !isAddOn(s));
      expect(services).toHaveLength(9);
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

    test("pods' addresses are of their node's range, and each pod has its own", async () => {
      const cluster = await bringUp(model, ipFamilies);
      const seen = new Set<string>();
      for (const { spec, status } of cluster.api.list("Pod")) {
        if (spec.hostNetwork === true) continue;
        const ranges = cluster.nodes.get(spec.nodeName ?? "")?.podCidrs() ?? [];
        for (const { ip } of status?.podIPs ?? []) {
          expect(ranges.some((range) => range.contains(parseIp(ip)))).toBe(true);
          expect(seen.has(ip)).toBe(false);
          seen.add(ip);
        }
      }
    });
  });

  test("conforms", async () => {
    const problems: string[] = [];
    for await (const result of conformance({ model, ipFamilies: [4, 6] })) {
      problems.push(...result.problems);
    }
    expect(problems).toEqual([]);
  });
});

test("Canal enforces Kubernetes' policies and Calico's", async () => {
  const cluster = await bringUp(canal, [4]);
  const cache = { to: cluster.endpoint("cache.shop-data"), port: 6379 };
  expect(cluster.connect({ from: cluster.endpoint("shop/deploy/cart"), ...cache }).verdict).toBe(
    "allowed",
  );
  expect(cluster.connect({ from: cluster.endpoint("shop/visitor"), ...cache }).verdict).toBe(
    "blocked",
  );
  cluster.apply([
    policy(
      { name: "nobody" },
      { order: 1, selector: "app == 'cache'", ingress: [{ action: "Deny" }] },
    ),
  ]);
  await cluster.settled();
  expect(cluster.connect({ from: cluster.endpoint("shop/deploy/cart"), ...cache }).verdict).toBe(
    "blocked",
  );
});

test("what Calico's IPAM has handed out to Flannel's pods is what they use", async () => {
  const cluster = await bringUp(flannelWithCalicoIpam, [4]);
  const client = IpamClient.of(cluster.api, cluster.clock);
  const check = () =>
    checkIpam(cluster.api, client, {
      showAllIps: false,
      showProblemIps: true,
      version: "test",
      now: cluster.clock.now,
    });
  expect(check().problems).toBe(0);
  cluster.delete("Node" as Kind, "node2");
  await cluster.settled();
  expect(check().problems).toBe(0);
  expect(client.datastore.affinities().map(({ host }) => host)).toEqual(["node1", "node3"]);
});
