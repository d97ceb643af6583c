// The shop, realised in namespaces of this machine with a program behind every socket: everybody asks everybody.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { ClusterConfig, CniOptionValues } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { registerPolicyAgent } from "@cnilab/network-policy";
import { whyNotHere } from "@cnilab/realize";
import { describe, test } from "vitest";
import { expectAgreement } from "./systems/agreement.ts";
import { inBothFamilies } from "./systems/both-families.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const MANIFESTS = [
  fileURLToPath(import.meta.resolve("@cnilab/examples/shop")),
  fileURLToPath(new URL("systems/services.yaml", import.meta.url)),
];
const POLICIES = fileURLToPath(new URL("systems/policies.yaml", import.meta.url));
/** A CNI, the cluster's configuration, and whether an agent enforces policies. */
type Row = readonly [string, CniOptionValues, Partial<ClusterConfig>, boolean];

const CLUSTERS: readonly Row[] = [
  ["vxlan and iptables", { backend: "vxlan" }, { proxyMode: "iptables" }, false],
  ["vxlan, iptables and policies", { backend: "vxlan" }, { proxyMode: "iptables" }, true],
  ["vxlan and nftables", { backend: "vxlan" }, { proxyMode: "nftables" }, false],
  ["host-gw and iptables", { backend: "host-gw" }, { proxyMode: "iptables" }, false],
  ["host-gw and nftables", { backend: "host-gw" }, { proxyMode: "nftables" }, false],
  [
    "vxlan and iptables with two families",
    { backend: "vxlan" },
    { proxyMode: "iptables", ipFamilies: [4, 6] },
    false,
  ],
  [
    "host-gw and nftables with two families",
    { backend: "host-gw" },
    { proxyMode: "nftables", ipFamilies: [4, 6] },
    false,
  ],
  [
    "host-gw, nftables and policies with two families",
    { backend: "host-gw" },
    { proxyMode: "nftables", ipFamilies: [4, 6] },
    true,
  ],
];

describe.skipIf(missing !== undefined)(`the shop in real namespaces${why}`, () => {
  // At once, as each waits most of the time.
  test.concurrent.each(CLUSTERS)(
    "with %s does what probe says",
    async (name, cni, config, policies) => {
      const cluster = await bringUp(cni, config, policies);
      const number = CLUSTERS.findIndex(([other]) => other === name);
      await expectAgreement(cluster, `shop${process.pid}-${number}`, 1000);
    },
  );
});

async function bringUp(
  cniOptions: CniOptionValues,
  config: Partial<ClusterConfig>,
  policies: boolean,
): Promise<Cluster> {
  const cluster = createCluster({
    cni: flannel,
    cniOptions,
    config,
    register: (root) => {
      registerKubeProxy(root);
      if (policies) registerPolicyAgent(root);
    },
  });
  const objects = [...MANIFESTS, ...(policies ? [POLICIES] : [])].flatMap(
    (file) => parseManifests(readFileSync(file, "utf8"), file).objects,
  );
  cluster.apply(config.ipFamilies === undefined ? objects : objects.map(inBothFamilies));
  await cluster.settled();
  return cluster;
}
