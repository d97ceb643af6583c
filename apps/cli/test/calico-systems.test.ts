// The shop on Calico, realised in namespaces of this machine: everybody asks everybody.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { calico } from "@cnilab/calico";
import { createCluster, parseManifests } from "@cnilab/cluster";
import type { ClusterConfig, CniOptionValues } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
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

type Row = readonly [string, CniOptionValues, Partial<ClusterConfig>];

const CLUSTERS: readonly Row[] = [
  ["VXLAN and iptables", { encapsulation: "VXLAN" }, { proxyMode: "iptables" }],
  [
    "VXLANCrossSubnet and nftables",
    { encapsulation: "VXLANCrossSubnet" },
    { proxyMode: "nftables" },
  ],
  [
    "VXLAN and nftables with two families",
    { encapsulation: "VXLAN" },
    { proxyMode: "nftables", ipFamilies: [4, 6] },
  ],
  [
    "VXLANCrossSubnet and iptables with two families",
    { encapsulation: "VXLANCrossSubnet" },
    { proxyMode: "iptables", ipFamilies: [4, 6] },
  ],
];

describe.skipIf(missing !== undefined)(`the shop on Calico in real namespaces${why}`, () => {
  test.each(CLUSTERS)(
    "with %s does what probe says",
    { timeout: 300_000 },
    async (_, cniOptions, config) => {
      const cluster = createCluster({
        cni: calico,
        cniOptions,
        config,
        register: (root) => registerKubeProxy(root),
      });
      const objects = MANIFESTS.flatMap(
        (file) => parseManifests(readFileSync(file, "utf8"), file).objects,
      );
      cluster.apply(config.ipFamilies === undefined ? objects : objects.map(inBothFamilies));
      await cluster.settled();
      await expectAgreement(cluster, `calico${process.pid}`, 1000);
    },
  );
});
